//! Takes the steps that `plan` names, by the commands of the AWS CLI.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use provisioning::{Cause, Failure, Options};
use serde_json::{Value, json};

use crate::account::{Account, Place, find_role};
use crate::order::{Gone, Order, Orders, Targets};
use crate::plan::{self, Goal, Job, Seen, Step};
use crate::setup;
use crate::standing::{Standing, ThingStanding};

/// Of how many things under way it is asked how far they are.
const MOST_ASKED: usize = 10;
/// Of how many failures it is asked why.
const MOST_REASONS: usize = 50;

/// Where a person is told what happens.
pub trait Watcher {
    /// A step was taken.
    fn say(&mut self, line: &str);
    /// The job stands so now; whether to go on following it.
    fn stands(&mut self, standing: &Standing) -> bool;
}

/// How following an update ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The job is over and everything is cleared away.
    Over(BTreeMap<String, u64>),
    /// Somebody else has deleted the job; what else was made is cleared away.
    Deleted,
    /// Another program has finished it, which knows how it ended.
    Elsewhere,
    /// The watcher did not want to follow it any longer; it goes on.
    Left,
    /// The watcher did not want to go on, and the job was not called off yet.
    NotCanceled,
}

/// What one run has heard of a job's things.
#[derive(Default)]
struct Heard {
    /// Why they failed, of those that were asked.
    reasons: HashMap<String, String>,
    /// All that have ended otherwise than well, as they were listed last.
    failed: Vec<ThingStanding>,
    /// Whether all of them could be listed, the last time that this was tried.
    listed: bool,
    /// Whether it was said that they could not be asked.
    complained: bool,
}

/// An update in some account.
pub struct Update<'u> {
    /// The account.
    pub account: &'u mut dyn Account,
    /// Whose it is.
    pub place: &'u Place,
    /// Where orders are written down.
    pub orders: &'u Orders,
    /// How long to wait before the job is looked at again.
    pub pause: Duration,
}

impl Update<'_> {
    /// Goes on with an order until it is over.
    ///
    /// # Errors
    /// When the account is not prepared, something is refused or nobody answers: the same call goes
    /// on once that is mended.
    pub fn run(&mut self, order: &mut Order, goal: Goal, watcher: &mut dyn Watcher) -> Result<End> {
        self.check_place(order)?;
        let result = match self.all(order, goal, watcher) {
            Err(error) if error.is::<Gone>() => return Ok(End::Elsewhere),
            result => result.map_err(|error| order.without_stream(error)),
        };
        if result.is_err() {
            // Nothing was made for it: the next may be another one.
            self.orders.forget_unbegun(order)?;
        }
        if let Err(error) = &result
            && Failure::is_denial(error)
        {
            watcher.say(&format!(
                "whoever orders updates needs this policy:\n{}",
                setup::operator_policy(self.place, &order.bucket, &order.role_arn(self.place))
            ));
        }
        result
    }

    fn check_place(&self, order: &Order) -> Result<()> {
        if !order.is_of(self.place) {
            bail!(
                "this update was ordered in account {}, region {}, and you are in account {}, region \
                 {}: choose the right one by AWS_PROFILE=… and AWS_REGION=…",
                order.account,
                order.region,
                self.place.account,
                self.place.region
            );
        }
        Ok(())
    }

    fn all(&mut self, order: &mut Order, goal: Goal, watcher: &mut dyn Watcher) -> Result<End> {
        let (job_known, ended) = (order.job_known, order.ended.is_some());
        let mut seen = Seen { job_known, ended, ..Seen::default() };
        let mut heard = Heard::default();
        let mut standing = Standing::default();
        loop {
            let step = match plan::next(goal, &seen) {
                Ok(step) => step,
                Err(missing) => bail!(setup::remedy(self.place, order, missing)),
            };
            match step {
                Step::LookAtJob => match self.look_at_job(order, &mut seen, &mut standing) {
                    // Ctrl-C reaches the AWS CLI, too.
                    Err(error) if Failure::is(&error, &Cause::Interrupted) => {
                        let was_there = !standing.status.is_empty() || seen.stream == Some(true);
                        return match goal {
                            _ if seen.ended => Err(error),
                            Goal::Cancel { .. } if !seen.canceled => Ok(End::NotCanceled),
                            _ if was_there => Ok(End::Left),
                            _ => Err(error),
                        };
                    }
                    looked => looked?,
                },
                Step::LookAtThings => {
                    let is_over = seen.job == Some(Job::Over);
                    match self.look_at_things(order, goal, is_over, &mut standing, &mut heard) {
                        Err(error) if !is_over && Failure::is(&error, &Cause::Interrupted) => {
                            return Ok(End::Left);
                        }
                        Err(error) => return Err(error),
                        Ok(None) => {}
                        Ok(Some(trouble)) => watcher.say(&trouble),
                    }
                    seen.things = true;
                    if !watcher.stands(&standing) && !is_over {
                        return Ok(End::Left);
                    }
                }
                Step::Wait => {
                    std::thread::sleep(self.pause);
                    seen.job = None;
                }
                Step::Cancel { force } => {
                    if !watcher.stands(&standing) {
                        return Ok(End::NotCanceled);
                    }
                    self.cancel(order, force, watcher)?;
                    (seen.canceled, seen.job) = (true, None);
                }
                Step::Note => {
                    let mut report = None;
                    self.orders.note(order, |order| {
                        // Or another program has noted it, and then deleted the job.
                        if order.ended.is_none() {
                            order.deleted = seen.job == Some(Job::Missing);
                            order.ended = Some(standing.counts.clone());
                            report = self.orders.report_failed(&order.targets, &heard.failed)?;
                        }
                        Ok(())
                    })?;
                    if let Some(report) = report {
                        let report = report.display();
                        watcher.say(&format!("who did not take it, and why: {report}"));
                    }
                    seen.ended = true;
                }
                Step::Forget => {
                    self.orders.forget(order)?;
                    return Ok(match &order.ended {
                        _ if order.deleted => End::Deleted,
                        ended => End::Over(ended.clone().unwrap_or_default()),
                    });
                }
                step => self.take(step, order, &mut seen, watcher)?,
            }
        }
    }

    /// How the job stands.
    fn look_at_job(
        &mut self,
        order: &mut Order,
        seen: &mut Seen,
        standing: &mut Standing,
    ) -> Result<()> {
        let job = self.job(order)?;
        if job.is_some() {
            self.know_job(order, seen)?;
        }
        let job = job.filter(|job| !job.is_being_deleted());
        seen.job = Some(match &job {
            None => Job::Missing,
            Some(job) if job.is_over() => Job::Over,
            Some(_) => Job::Running,
        });
        seen.things = false;
        if let Some(now) = job {
            *standing = now;
        }
        Ok(())
    }

    /// How its things are, which must not decide whether an update goes on: what is said when they
    /// cannot be asked, once.
    ///
    /// # Errors
    /// When that was interrupted, or who did not take the update would never be known.
    fn look_at_things(
        &mut self,
        order: &Order,
        goal: Goal,
        is_over: bool,
        standing: &mut Standing,
        heard: &mut Heard,
    ) -> Result<Option<String>> {
        let Err(error) = self.ask_things(order, standing, heard) else { return Ok(None) };
        if Failure::is(&error, &Cause::Interrupted) {
            return Err(error);
        }
        if is_over && goal == Goal::Update && !heard.listed && !standing.is_success() {
            return Err(error.context(format!(
                "{}; the job alone knows which things did not take it, so it is kept: the same command \
                 asks again, `make update-cancel {}` clears it away without asking",
                standing.line(),
                order.targets.words()
            )));
        }
        let is_first = !std::mem::replace(&mut heard.complained, true);
        Ok(is_first.then(|| cannot_be_asked(&error)))
    }

    fn cancel(&mut self, order: &Order, force: bool, watcher: &mut dyn Watcher) -> Result<()> {
        let mut arguments = vec![
            ("job-id", order.id.as_str()),
            ("reason-code", "CALLED_OFF"),
            ("comment", "make update-cancel"),
        ];
        if force {
            arguments.push(("force", ""));
        }
        match self.account.call("iot", "cancel-job", &arguments) {
            Ok(_) if force => watcher.say("the job is called off, for things that have begun too"),
            Ok(_) => watcher.say("the job is called off; things that have begun finish it"),
            Err(error)
                if Failure::is(&error, &Cause::Other) || Failure::is(&error, &Cause::NotFound) =>
            {
                // It ended, was called off or was deleted a moment ago, or else the refusal stands.
                if self.job(order)?.is_some_and(|job| job.goes_on()) {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Writes down that the job is there, or was.
    fn know_job(&self, order: &mut Order, seen: &mut Seen) -> Result<()> {
        seen.job_known = true;
        if order.job_known {
            return Ok(());
        }
        self.orders.note(order, |order| {
            order.job_known = true;
            Ok(())
        })
    }

    /// The steps that are one command each.
    fn take(
        &mut self,
        step: Step,
        order: &mut Order,
        seen: &mut Seen,
        watcher: &mut dyn Watcher,
    ) -> Result<()> {
        let (id, key) = (order.id.clone(), order.key());
        let id = id.as_str();
        let key = ("key", key.as_str());
        match step {
            Step::LookForBucket => {
                seen.bucket = Some(self.store(order, "head-bucket", &[])?);
            }
            Step::LookForRole => {
                let found = find_role(self.account, &order.role)?;
                seen.role = Some(found.is_some());
                self.orders.note(order, |order| {
                    order.role_arn = found;
                    Ok(())
                })?;
            }
            Step::LookForTargets => {
                self.look_for_targets(&order.targets)?;
                seen.targets = Some(true);
            }
            Step::LookForObject => {
                seen.object = Some(self.store(order, "head-object", &[key])?);
            }
            Step::Upload => {
                let begun = order.begun;
                self.orders.note(order, |order| {
                    order.begun = true;
                    Ok(())
                })?;
                let image = self.orders.image(order);
                let body = std::path::absolute(&image)?.display().to_string();
                let put = self.store(order, "put-object", &[key, ("body", &body)]);
                if put.as_ref().is_err_and(Failure::is_denial) {
                    // What was refused is not there: the next order may name another store.
                    self.orders.note(order, |order| {
                        order.begun = begun;
                        Ok(())
                    })?;
                }
                ensure!(put?, "there is no store {} any more", order.bucket);
                watcher.say(&format!("{} uploaded, {} bytes", order.file_kind(), order.size));
                seen.object = Some(true);
            }
            Step::LookForStream => {
                let stream = [("stream-id", order.stream())];
                let found = self.account.look_for("iot", "describe-stream", &stream)?;
                seen.stream = Some(found.is_some());
            }
            Step::MakeStream => {
                let location = json!({ "bucket": order.bucket, "key": key.1 });
                let files = json!([{ "fileId": 0, "s3Location": location }]).to_string();
                let role = order.role_arn(self.place);
                let stream = order.stream();
                let arguments = [("stream-id", stream), ("files", &files), ("role-arn", &role)];
                match self.account.call("iot", "create-stream", &arguments) {
                    Err(error) if Failure::is_denial(&error) => {
                        return Err(error.context(setup::stream_remedy(self.place, order)));
                    }
                    made => made?,
                };
                watcher.say("stream made");
                seen.stream = Some(true);
            }
            Step::MakeJob => {
                self.make_job(order)?;
                self.know_job(order, seen)?;
                watcher.say(&format!("job {id} made"));
                seen.job = None;
            }
            Step::DeleteStream => {
                let stream = [("stream-id", order.stream())];
                self.account.look_for("iot", "delete-stream", &stream)?;
                seen.stream = Some(false);
            }
            Step::DeleteObject => {
                self.store(order, "delete-object", &[key])?;
                seen.object = Some(false);
            }
            Step::DeleteJob => {
                let job = [("job-id", id), ("force", "")];
                if let Err(error) = self.account.look_for("iot", "delete-job", &job) {
                    // Another program may have been faster.
                    let other = Failure::is(&error, &Cause::Other);
                    if !other || self.job(order)?.is_some_and(|job| !job.is_being_deleted()) {
                        return Err(error);
                    }
                }
                let kind = order.file_kind();
                watcher.say(&format!("{kind}, stream and job are cleared away"));
                seen.job = Some(Job::Missing);
            }
            _ => {}
        }
        Ok(())
    }

    /// A command about the order's store, which must be the account's own; whether what it is about is there.
    /// S3's names are one space for all accounts, and a stranger may have made a store of the usual one.
    fn store(&mut self, order: &Order, operation: &str, more: &Options<'_>) -> Result<bool> {
        let bucket = order.bucket.as_str();
        let own = [("bucket", bucket), ("expected-bucket-owner", &self.place.account)];
        let found = self.account.look_for("s3api", operation, &[&own, more].concat());
        match found {
            Err(error) if Failure::is_denial(&error) => {
                // S3 has one answer for both.
                Err(error.context(format!(
                    "either the store {bucket} is another account's (then name one of your own by \
                     BUCKET=…), or you lack a permission"
                )))
            }
            found => Ok(found?.is_some()),
        }
    }

    fn look_for_targets(&mut self, targets: &Targets) -> Result<()> {
        let missing =
            |what: String, remedy: &str| format!("there is no {what} in this account: {remedy}");
        let thing = |account: &mut dyn Account, name: &str| -> Result<()> {
            let found = account.look_for("iot", "describe-thing", &[("thing-name", name)])?;
            found.map(drop).with_context(|| {
                missing(format!("thing {name}"), &format!("`make provision THING={name}` makes it"))
            })
        };
        match targets {
            Targets::Thing(name) => thing(self.account, name),
            Targets::Fleet { things, .. } => {
                things.iter().try_for_each(|name| thing(self.account, name))
            }
            Targets::Group(name) => {
                let arguments = [("thing-group-name", name.as_str())];
                let found = self.account.look_for("iot", "describe-thing-group", &arguments)?;
                found.map(drop).with_context(|| {
                    let remedy = if self.place.local {
                        "the local cloud has no groups; name THING=… or FLEET=…".to_owned()
                    } else {
                        format!("`aws iot create-thing-group --thing-group-name {name}` makes it")
                    };
                    missing(format!("thing group {name}"), &remedy)
                })
            }
        }
    }

    fn make_job(&mut self, order: &Order) -> Result<()> {
        let limits = &order.limits;
        let targets = json!(order.targets.arns(self.place)).to_string();
        let document = order.document().to_string();
        let rollout = json!({ "maximumPerMinute": limits.per_minute }).to_string();
        let abort = json!({ "criteriaList": [{
            "failureType": "ALL", "action": "CANCEL",
            "thresholdPercentage": limits.abort_percent,
            "minNumberOfExecutedThings": limits.abort_after,
        }] })
        .to_string();
        let timeout = json!({ "inProgressTimeoutInMinutes": limits.timeout_minutes }).to_string();
        let description = format!("{} {}", order.board, order.what()).trim_start().to_owned();
        let arguments = [
            ("job-id", order.id.as_str()),
            ("targets", &targets),
            ("document", &document),
            ("description", &description),
            ("target-selection", "SNAPSHOT"),
            ("job-executions-rollout-config", &rollout),
            ("abort-config", &abort),
            ("timeout-config", &timeout),
        ];
        self.account.call("iot", "create-job", &arguments).map(drop)
    }

    /// The job, if there is one, or its shadow.
    fn job(&mut self, order: &Order) -> Result<Option<Standing>> {
        let found = self.account.look_for("iot", "describe-job", &[("job-id", &order.id)])?;
        Ok(found.map(|answer| Standing::read(&answer["job"])))
    }

    /// How an order stands, things included, as far as these can be asked: `say` shows why not. `None`
    /// when it has no job yet, or none any more.
    ///
    /// # Errors
    /// As [`Update::run`].
    pub fn standing(&mut self, order: &Order, say: &dyn Fn(&str)) -> Result<Option<Standing>> {
        self.check_place(order)?;
        let job = self.job(order)?.filter(|job| !job.is_being_deleted());
        let Some(mut standing) = job else { return Ok(None) };
        match self.ask_things(order, &mut standing, &mut Heard::default()) {
            Err(error) if Failure::is(&error, &Cause::Interrupted) => return Err(error),
            Err(error) => say(&cannot_be_asked(&error)),
            Ok(()) => {}
        }
        Ok(Some(standing))
    }

    /// Asks how far things under way are, and once of each failure why.
    fn ask_things(
        &mut self,
        order: &Order,
        standing: &mut Standing,
        heard: &mut Heard,
    ) -> Result<()> {
        heard.listed = false;
        let listed = self.list_things(order)?;
        heard.listed = true;
        let (failed, under_way): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(ThingStanding::is_failure);
        heard.failed = failed;
        let Heard { reasons, failed, .. } = heard;
        let mut trouble = Ok(());
        for thing in failed.iter_mut().filter(|thing| thing.has_reason()) {
            if let Some(reason) = reasons.get(&thing.thing) {
                thing.reason.clone_from(reason);
            } else if reasons.len() < MOST_REASONS && trouble.is_ok() {
                // What is known already is noted all the same.
                match self.ask_thing(order, thing.clone()) {
                    Ok(asked) => *thing = asked,
                    Err(error) => {
                        trouble = Err(error);
                        continue;
                    }
                }
                reasons.insert(thing.thing.clone(), thing.reason.clone());
                standing.things.push(thing.clone());
            }
        }
        trouble?;
        for thing in under_way.into_iter().take(MOST_ASKED) {
            standing.things.push(self.ask_thing(order, thing)?);
        }
        Ok(())
    }

    /// Things that are under way, and those that have ended otherwise than well.
    fn list_things(&mut self, order: &Order) -> Result<Vec<ThingStanding>> {
        // In the largest pages: the AWS CLI goes through them all in this call.
        let arguments = [("job-id", order.id.as_str()), ("page-size", "250")];
        let list = self.account.look_for("iot", "list-job-executions-for-job", &arguments)?;
        let list = list.unwrap_or_default();
        let thing = |listed: &Value| {
            let (_, name) = listed["thingArn"].as_str()?.rsplit_once(":thing/")?;
            let status = listed["jobExecutionSummary"]["status"].as_str()?;
            let [thing, status] = [name, status].map(str::to_owned);
            Some(ThingStanding { thing, status, ..ThingStanding::default() })
        };
        let mut things: Vec<ThingStanding> =
            list["executionSummaries"].as_array().into_iter().flatten().filter_map(thing).collect();
        things.retain(|thing| thing.status == "IN_PROGRESS" || thing.is_failure());
        Ok(things)
    }

    /// The same with what the device says of itself.
    fn ask_thing(&mut self, order: &Order, mut thing: ThingStanding) -> Result<ThingStanding> {
        let arguments = [("job-id", order.id.as_str()), ("thing-name", &thing.thing)];
        let answer = self.account.look_for("iot", "describe-job-execution", &arguments)?;
        let details = &answer.unwrap_or_default()["execution"]["statusDetails"]["detailsMap"];
        let text = |name: &str| details[name].as_str().unwrap_or_default().to_owned();
        (thing.state, thing.reason) = (text("state"), text("reason"));
        Ok(thing)
    }
}

fn cannot_be_asked(error: &anyhow::Error) -> String {
    format!("how each of the things is cannot be asked, which changes nothing for them: {error:#}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::tests::order;
    use crate::setup::tests::place;

    /// An account that answers so, and what it was asked.
    struct Played<A> {
        asked: Vec<String>,
        answer: A,
    }

    impl<A: FnMut(&str, &Options<'_>) -> Result<Value>> Played<A> {
        fn new(answer: A) -> Self {
            Self { asked: Vec::new(), answer }
        }
    }

    impl<A: FnMut(&str, &Options<'_>) -> Result<Value>> Account for Played<A> {
        fn call(&mut self, _: &str, operation: &str, options: &Options<'_>) -> Result<Value> {
            self.asked.push(operation.to_owned());
            (self.answer)(operation, options)
        }
    }

    /// One who is told things, and follows as long as `patience` says so.
    struct Person<P> {
        said: Vec<String>,
        patience: P,
    }

    impl<P: FnMut(&Standing) -> bool> Watcher for Person<P> {
        fn say(&mut self, line: &str) {
            self.said.push(line.to_owned());
        }

        fn stands(&mut self, standing: &Standing) -> bool {
            (self.patience)(standing)
        }
    }

    /// An order for a group whose job was made, in a folder of its own.
    struct Desk {
        _folder: Box<dyn std::any::Any>,
        orders: Orders,
        order: Order,
    }

    impl Desk {
        fn new() -> Self {
            let folder = process::scratch::folder().unwrap();
            let orders = Orders::new(folder.path());
            let mut order = order(Targets::Group("lamps".to_owned()));
            (order.begun, order.job_known) = (true, true);
            orders.write(&order).unwrap();
            Self { _folder: Box::new(folder), orders, order }
        }

        fn run(
            &mut self,
            goal: Goal,
            account: &mut dyn Account,
            watcher: &mut dyn Watcher,
        ) -> Result<End> {
            let Order { account: number, region, .. } = &self.order;
            let place = Place { account: number.clone(), region: region.clone(), ..place() };
            let (orders, pause) = (&self.orders, Duration::ZERO);
            let mut update = Update { account, place: &place, orders, pause };
            update.run(&mut self.order, goal, watcher)
        }
    }

    fn follows() -> Person<impl FnMut(&Standing) -> bool> {
        Person { said: Vec::new(), patience: |_: &Standing| true }
    }

    fn refused(operation: &str, code: &str) -> anyhow::Error {
        let said = format!("An error occurred ({code}) when calling the {operation} operation: no");
        Failure::read(&format!("iot {operation}"), &said).into()
    }

    /// What describe-job says.
    fn job(status: &str, counts: &[(&str, u64)]) -> Value {
        let counts: serde_json::Map<String, Value> =
            counts.iter().map(|(name, count)| ((*name).to_owned(), (*count).into())).collect();
        json!({ "job": { "status": status, "jobProcessDetails": counts } })
    }

    /// Things beyond a page, and how they are.
    fn listed(things: &[(&str, &str)]) -> Value {
        let thing = |(name, status): &(&str, &str)| {
            let arn = format!("arn:aws:iot:r:1:thing/{name}");
            json!({ "thingArn": arn, "jobExecutionSummary": { "status": status } })
        };
        json!({ "executionSummaries": things.iter().map(thing).collect::<Vec<_>>() })
    }

    /// It takes minutes to list a large fleet, and each of the calls may be refused.
    #[test]
    fn calling_off_waits_for_no_listing_and_needs_none() {
        let mut desk = Desk::new();
        let mut canceled = false;
        let mut account = Played::new(|operation, _| match operation {
            "describe-job" if canceled => Ok(job("CANCELED", &[("numberOfCanceledThings", 2)])),
            "describe-job" => Ok(job("IN_PROGRESS", &[("numberOfQueuedThings", 2)])),
            "cancel-job" => {
                canceled = true;
                Ok(Value::Null)
            }
            "list-job-executions-for-job" => Err(refused(operation, "AccessDeniedException")),
            _ => Ok(Value::Null),
        });
        let mut person = follows();
        let end = desk.run(Goal::Cancel { force: true }, &mut account, &mut person).unwrap();
        assert_eq!(end, End::Over([("called off".to_owned(), 2)].into()));
        assert_eq!(account.asked[..2], ["describe-job", "cancel-job"]);
        let complaints = person.said.iter().filter(|line| line.contains("cannot be asked")).count();
        assert_eq!(complaints, 1, "{:?}", person.said);
        assert!(desk.orders.all().unwrap().is_empty());
    }

    #[test]
    fn who_is_interrupted_before_it_has_called_nothing_off() {
        for by_the_cli in [false, true] {
            let mut desk = Desk::new();
            let mut account = Played::new(|operation, _| {
                let call = format!("iot {operation}");
                let cause = Cause::Interrupted;
                if by_the_cli {
                    bail!(Failure { call, cause, said: String::new() });
                }
                Ok(job("IN_PROGRESS", &[("numberOfQueuedThings", 2)]))
            });
            let mut person = Person { said: Vec::new(), patience: |_: &Standing| false };
            let end = desk.run(Goal::Cancel { force: false }, &mut account, &mut person);
            assert_eq!(end.unwrap(), End::NotCanceled);
            assert_eq!(account.asked, ["describe-job"]);
            assert_eq!(desk.orders.all().unwrap().len(), 1);
        }
    }

    /// AWS has one word for what it refuses: for a job that is over, and for any other reason.
    #[test]
    fn a_job_that_is_not_called_off_is_told() {
        let mut desk = Desk::new();
        let mut account = Played::new(|operation, _| match operation {
            "describe-job" => Ok(job("IN_PROGRESS", &[("numberOfQueuedThings", 2)])),
            _ => Err(refused(operation, "InvalidRequestException")),
        });
        let goal = Goal::Cancel { force: false };
        let error = desk.run(goal, &mut account, &mut follows()).unwrap_err();
        assert!(error.to_string().contains("iot cancel-job"), "{error:#}");
    }

    /// What is only shown, each time that it cannot be asked, and while AWS asks to slow down.
    #[test]
    fn an_update_outlives_what_is_only_shown() {
        let mut desk = Desk::new();
        let mut looks = 0;
        let mut account = Played::new(|operation, _| match operation {
            "describe-job" => {
                looks += 1;
                let (status, name) = match looks {
                    1..4 => ("IN_PROGRESS", "numberOfInProgressThings"),
                    _ => ("COMPLETED", "numberOfSucceededThings"),
                };
                Ok(job(status, &[(name, 1)]))
            }
            "list-job-executions-for-job" => Err(refused(operation, "ThrottlingException")),
            _ => Ok(Value::Null),
        });
        let mut person = follows();
        let end = desk.run(Goal::Update, &mut account, &mut person).unwrap();
        assert_eq!(end, End::Over([("updated".to_owned(), 1)].into()));
        let complaints = person.said.iter().filter(|line| line.contains("cannot be asked")).count();
        assert_eq!(complaints, 1, "{:?}", person.said);
    }

    /// Nobody could name the things afterwards: with the job, AWS forgets them.
    #[test]
    fn a_job_is_kept_until_it_has_named_who_failed() {
        let mut desk = Desk::new();
        let mut lists = false;
        for goal in [Goal::Update, Goal::Update] {
            let mut account = Played::new(|operation, _| match operation {
                "describe-job" => Ok(job("COMPLETED", &[("numberOfFailedThings", 1)])),
                "list-job-executions-for-job" if lists => Ok(listed(&[("lamp", "FAILED")])),
                "list-job-executions-for-job" => Err(refused(operation, "InternalFailure")),
                _ => Ok(Value::Null),
            });
            let end = desk.run(goal, &mut account, &mut follows());
            assert_eq!(account.asked.contains(&"delete-job".to_owned()), lists);
            match end {
                Ok(end) => assert_eq!(end, End::Over([("failed".to_owned(), 1)].into())),
                Err(error) => {
                    let error = error.to_string();
                    assert!(error.contains("`make update-cancel GROUP=lamps`"), "{error}");
                }
            }
            lists = true;
        }
        assert!(desk.orders.all().unwrap().is_empty());
        // Who does not want to wait for that.
        let mut desk = Desk::new();
        let mut account = Played::new(|operation, _| match operation {
            "describe-job" => Ok(job("COMPLETED", &[("numberOfFailedThings", 1)])),
            "list-job-executions-for-job" => Err(refused(operation, "InternalFailure")),
            _ => Ok(Value::Null),
        });
        let goal = Goal::Cancel { force: false };
        assert!(matches!(desk.run(goal, &mut account, &mut follows()), Ok(End::Over(_))));
    }

    /// The first to see that the job is over clears it away, and the other one finds no job.
    #[test]
    fn of_two_that_follow_an_update_none_is_told_that_it_was_deleted() {
        for noted in [false, true] {
            let mut desk = Desk::new();
            let (orders, mut others) = (desk.orders.clone(), desk.order.clone());
            let mut next = others.clone();
            next.id = "next".to_owned();
            let mut looks = 0;
            let mut account = Played::new(|operation, _| match operation {
                "describe-job" => {
                    looks += 1;
                    if looks == 1 {
                        return Ok(job("IN_PROGRESS", &[("numberOfInProgressThings", 1)]));
                    }
                    if noted {
                        // It is just at clearing it away.
                        orders.note(&mut others, |order| {
                            order.ended = Some([("updated".to_owned(), 1)].into());
                            Ok(())
                        })?;
                    } else {
                        // It has, and the person has ordered the next one.
                        orders.forget(&others)?;
                        orders.write(&next)?;
                    }
                    Ok(job("DELETION_IN_PROGRESS", &[]))
                }
                _ => Ok(Value::Null),
            });
            let end = desk.run(Goal::Update, &mut account, &mut follows()).unwrap();
            if noted {
                assert_eq!(end, End::Over([("updated".to_owned(), 1)].into()));
                assert!(desk.orders.all().unwrap().is_empty());
            } else {
                assert_eq!(end, End::Elsewhere);
                assert_eq!(desk.orders.all().unwrap(), [next.clone()]);
            }
        }
    }

    #[test]
    fn a_job_that_another_program_is_deleting_is_deleted() {
        let mut desk = Desk::new();
        let mut deletes = false;
        let mut account = Played::new(|operation, _| match operation {
            "describe-job" if deletes => Ok(job("DELETION_IN_PROGRESS", &[])),
            "describe-job" => Ok(job("COMPLETED", &[("numberOfSucceededThings", 1)])),
            "delete-job" => {
                deletes = true;
                Err(refused(operation, "InvalidStateTransitionException"))
            }
            _ => Ok(Value::Null),
        });
        let end = desk.run(Goal::Update, &mut account, &mut follows()).unwrap();
        assert_eq!(end, End::Over([("updated".to_owned(), 1)].into()));
    }

    /// Nothing else has their names once the job is deleted.
    #[test]
    fn all_that_did_not_take_it_are_named_and_those_that_failed_are_asked_why() {
        let mut desk = Desk::new();
        let name = |kind: &str, count| -> Vec<String> {
            (0..count).map(|number| format!("{kind}-{number}")).collect()
        };
        let (off, broken, good) = (name("off", 200), name("broken", 60), name("good", 3));
        let all = [(&off, "CANCELED"), (&broken, "FAILED"), (&good, "SUCCEEDED")];
        let all = all.iter().flat_map(|(names, status)| {
            names.iter().map(|name| (name.as_str(), *status)).collect::<Vec<_>>()
        });
        let all = listed(&all.collect::<Vec<_>>());
        let mut asked = Vec::new();
        let mut looks = 0;
        let mut account = Played::new(|operation, options| match operation {
            "describe-job" => {
                looks += 1;
                let status = if looks < 3 { "IN_PROGRESS" } else { "CANCELED" };
                let counts = [("numberOfFailedThings", 60), ("numberOfCanceledThings", 200)];
                Ok(job(status, &counts))
            }
            "list-job-executions-for-job" => Ok(all.clone()),
            "describe-job-execution" => {
                let thing = options.iter().find(|(name, _)| *name == "thing-name").unwrap().1;
                asked.push(thing.to_owned());
                let details = json!({ "reason": "it, \"so\" it says, crashed" });
                Ok(json!({ "execution": { "statusDetails": { "detailsMap": details } } }))
            }
            _ => Ok(Value::Null),
        });
        let mut person = follows();
        desk.run(Goal::Update, &mut account, &mut person).unwrap();
        // Each once.
        assert_eq!(asked, broken[..MOST_REASONS]);
        let told = person.said.iter().find_map(|line| line.split_once("take it, and why: "));
        let report = std::fs::read(told.unwrap().1).unwrap();
        let rows: Vec<[String; 3]> =
            csv::Reader::from_reader(&*report).deserialize().collect::<Result<_, _>>().unwrap();
        assert_eq!(rows.len(), 260);
        assert_eq!(rows[0], ["off-0", "called off", ""]);
        assert_eq!(rows[200], ["broken-0", "failed", "it, \"so\" it says, crashed"]);
        assert_eq!(rows[259], ["broken-59", "failed", ""]);
    }
}
