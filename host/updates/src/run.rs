//! Takes the steps that `plan` names, by the commands of the AWS CLI.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use provisioning::{Cause, Failure, Options};
use serde_json::{Value, json};

use crate::account::{Account, Place, find_role};
use crate::order::{Order, Orders, Targets};
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
    /// The watcher did not want to follow it any longer; it goes on.
    Left,
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
        let result = self.all(order, goal, watcher);
        if result.is_err() && !order.begun {
            // Nothing was made for it: the next may be another one.
            self.orders.forget(order)?;
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
        let mut told = HashSet::new();
        let mut standing = Standing::default();
        loop {
            let step = match plan::next(goal, &seen) {
                Ok(step) => step,
                Err(missing) => bail!(setup::remedy(self.place, order, missing)),
            };
            match step {
                Step::LookAtJob => {
                    let looked = self.look_at_job(order, &mut seen, &mut told, &mut standing);
                    let made = !standing.status.is_empty() || seen.stream == Some(true);
                    let running = made && seen.job != Some(Job::Over);
                    match looked {
                        // Ctrl-C reaches the AWS CLI, too.
                        Err(error) if running && Failure::is(&error, &Cause::Interrupted) => {
                            return Ok(End::Left);
                        }
                        looked => looked?,
                    }
                    if seen.job != Some(Job::Missing)
                        && !watcher.stands(&standing)
                        && seen.job == Some(Job::Running)
                    {
                        return Ok(End::Left);
                    }
                }
                Step::Wait => {
                    std::thread::sleep(self.pause);
                    seen.job = None;
                }
                Step::Cancel { force } => {
                    let mut arguments = vec![
                        ("job-id", order.id.as_str()),
                        ("reason-code", "CALLED_OFF"),
                        ("comment", "make update-cancel"),
                    ];
                    if force {
                        arguments.push(("force", ""));
                    }
                    match self.account.call("iot", "cancel-job", &arguments) {
                        // It ended or was deleted a moment ago, as the next look at it will show.
                        Err(error)
                            if Failure::is(&error, &Cause::Other)
                                || Failure::is(&error, &Cause::NotFound) => {}
                        Err(error) => return Err(error),
                        Ok(_) if force => {
                            watcher.say("the job is called off, for things that have begun too");
                        }
                        Ok(_) => {
                            watcher.say("the job is called off; things that have begun finish it");
                        }
                    }
                    (seen.canceled, seen.job) = (true, None);
                }
                Step::Note => {
                    order.deleted = seen.job == Some(Job::Missing);
                    order.ended = Some(standing.counts.clone());
                    self.orders.keep(order)?;
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

    /// How the job stands, as far as that can be asked.
    fn look_at_job(
        &mut self,
        order: &mut Order,
        seen: &mut Seen,
        told: &mut HashSet<String>,
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
        if let Some(now) = job {
            *standing = now;
            self.ask_things(order, standing, told)?;
        }
        Ok(())
    }

    /// Writes down that the job is there, or was.
    fn know_job(&self, order: &mut Order, seen: &mut Seen) -> Result<()> {
        seen.job_known = true;
        if !order.job_known {
            order.job_known = true;
            self.orders.keep(order)?;
        }
        Ok(())
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
                order.role_arn = find_role(self.account, &order.role)?;
                seen.role = Some(order.role_arn.is_some());
            }
            Step::LookForTargets => {
                self.look_for_targets(&order.targets)?;
                seen.targets = Some(true);
            }
            Step::LookForObject => {
                seen.object = Some(self.store(order, "head-object", &[key])?);
            }
            Step::Upload => {
                let begun = std::mem::replace(&mut order.begun, true);
                self.orders.keep(order)?;
                let image = self.orders.image(order);
                let body = std::path::absolute(&image)?.display().to_string();
                let put = self.store(order, "put-object", &[key, ("body", &body)]);
                if put.as_ref().is_err_and(Failure::is_denial) {
                    // What was refused is not there: the next order may name another store.
                    order.begun = begun;
                }
                ensure!(put?, "there is no store {} any more", order.bucket);
                watcher.say(&format!("{} uploaded, {} bytes", order.file_kind(), order.size));
                seen.object = Some(true);
            }
            Step::LookForStream => {
                let stream = [("stream-id", id)];
                let found = self.account.look_for("iot", "describe-stream", &stream)?;
                seen.stream = Some(found.is_some());
            }
            Step::MakeStream => {
                let location = json!({ "bucket": order.bucket, "key": key.1 });
                let files = json!([{ "fileId": 0, "s3Location": location }]).to_string();
                let role = order.role_arn(self.place);
                let arguments = [("stream-id", id), ("files", &files), ("role-arn", &role)];
                self.account.call("iot", "create-stream", &arguments)?;
                watcher.say(&format!("stream {id} made"));
                seen.stream = Some(true);
            }
            Step::MakeJob => {
                self.make_job(order)?;
                self.know_job(order, seen)?;
                watcher.say(&format!("job {id} made"));
                seen.job = None;
            }
            Step::DeleteStream => {
                self.account.look_for("iot", "delete-stream", &[("stream-id", id)])?;
                seen.stream = Some(false);
            }
            Step::DeleteObject => {
                self.store(order, "delete-object", &[key])?;
                seen.object = Some(false);
            }
            Step::DeleteJob => {
                self.account.look_for("iot", "delete-job", &[("job-id", id), ("force", "")])?;
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

    /// How an order stands, things included; `None` when it has no job yet, or none any more.
    ///
    /// # Errors
    /// As [`Update::run`].
    pub fn standing(&mut self, order: &Order) -> Result<Option<Standing>> {
        self.check_place(order)?;
        let job = self.job(order)?.filter(|job| !job.is_being_deleted());
        let Some(mut standing) = job else { return Ok(None) };
        self.ask_things(order, &mut standing, &mut HashSet::new())?;
        Ok(Some(standing))
    }

    /// Asks how far things under way are, and once of each failure why.
    fn ask_things(
        &mut self,
        order: &Order,
        standing: &mut Standing,
        told: &mut HashSet<String>,
    ) -> Result<()> {
        // In the largest pages: the AWS CLI goes through them all in this call.
        let arguments = [("job-id", order.id.as_str()), ("page-size", "250")];
        let list = self.account.look_for("iot", "list-job-executions-for-job", &arguments)?;
        let list = list.unwrap_or_default();
        let mut under_way = 0;
        for listed in list["executionSummaries"].as_array().into_iter().flatten() {
            let arn = listed["thingArn"].as_str().unwrap_or_default();
            let Some((_, name)) = arn.rsplit_once(":thing/") else { continue };
            let status = listed["jobExecutionSummary"]["status"].as_str().unwrap_or_default();
            let mut thing = ThingStanding {
                thing: name.to_owned(),
                status: status.to_owned(),
                ..ThingStanding::default()
            };
            let wanted = if status == "IN_PROGRESS" {
                under_way += 1;
                under_way <= MOST_ASKED
            } else {
                thing.is_failure() && told.len() < MOST_REASONS && told.insert(name.to_owned())
            };
            if !wanted {
                continue;
            }
            let arguments = [("job-id", order.id.as_str()), ("thing-name", name)];
            if let Some(answer) =
                self.account.look_for("iot", "describe-job-execution", &arguments)?
            {
                let details = &answer["execution"]["statusDetails"]["detailsMap"];
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                (thing.state, thing.reason) = (text(&details["state"]), text(&details["reason"]));
            }
            standing.things.push(thing);
        }
        Ok(())
    }
}
