//! Many things from one list.
//!
//! The list is a CSV file with a header. The column `thing` has the names; others (serial
//! number, place, …) are carried into the report as they are. The report lies beside the list as
//! `<name>.report.csv`. It is written anew at the end, after a failure, too, and meanwhile every second,
//! or less often where that would take long: what one thing costs must not grow with their number.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::state::check_name;
use crate::{Failure, Journal, Session};
use process::files;
use things::problem;
use things::topics::Topics;

/// The line, from 1, on which a record begins, as an editor counts. The reader's own count is
/// taken between the two characters of a line end, or before an empty line.
fn line_of(text: &str, position: Option<&csv::Position>) -> usize {
    let at = position.map_or(0, |position| usize::try_from(position.byte()).unwrap_or(usize::MAX));
    let at = at.min(text.len());
    let skipped = text.as_bytes()[at..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
    problem::lines_before(&text.as_bytes()[..at + skipped]) + 1
}

/// What became of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not its turn yet.
    Waiting,
    /// Made, or completed.
    Provisioned,
    /// Was complete already.
    Complete,
    /// Failed for a reason of its own.
    Failed(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Provisioned => "provisioned",
            Self::Complete => "complete",
            Self::Failed(_) => "failed",
        })
    }
}

impl Outcome {
    /// Whether nothing is left to do for the thing.
    fn is_done(&self) -> bool {
        matches!(self, Self::Provisioned | Self::Complete)
    }
}

/// A list of things.
#[derive(Clone, Debug)]
pub struct Fleet {
    header: csv::StringRecord,
    rows: Vec<(String, csv::StringRecord)>,
    report: PathBuf,
}

impl Fleet {
    /// Reads a list as a whole, so that a mistake in it shows before anything is made.
    ///
    /// # Errors
    /// With file and line: no column `thing`, a name that AWS does not take, or one that
    /// occurs twice.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = std::fs::read(path).with_context(|| {
            format!("cannot read {shown}, which FILE=… names (a CSV file with a column `thing`)")
        })?;
        let text = problem::text(path, text)?;
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
        let header = reader.headers().with_context(|| format!("{shown}: not a CSV file"))?.clone();
        let Some(column) = header.iter().position(|name| name == "thing") else {
            bail!(
                "{shown}, line 1: the header has no column `thing` (it has: {}); the first line must \
                 name the columns, separated by commas",
                header.iter().collect::<Vec<_>>().join(", ")
            );
        };
        let mut lines: HashMap<String, usize> = HashMap::new();
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record.with_context(|| format!("{shown}: not a CSV file"))?;
            let line = line_of(&text, record.position());
            let thing = record.get(column).unwrap_or_default().to_owned();
            check_name(&thing).with_context(|| format!("{shown}, line {line}"))?;
            if let Some(first) = lines.insert(thing.clone(), line) {
                bail!("{shown}, line {line}: {thing} is in line {first} already");
            }
            rows.push((thing, record));
        }
        if rows.is_empty() {
            bail!("{shown} names no thing: write one name a line below the header");
        }
        Ok(Self { header, rows, report: path.with_extension("report.csv") })
    }

    /// The things' names.
    pub fn things(&self) -> impl ExactSizeIterator<Item = &str> {
        self.rows.iter().map(|(thing, _)| thing.as_str())
    }

    /// How many things may use topics of before, because their devices may not have the new ones.
    #[must_use]
    pub fn with_old_topics(&self, session: &Session<'_>) -> usize {
        self.things().filter(|thing| !read(session, thing).staying.is_empty()).count()
    }

    /// Where the report is written.
    #[must_use]
    pub fn report(&self) -> &Path {
        &self.report
    }

    /// Provisions all that are not complete. `topics` gives those of a thing, `progress` hears
    /// of each thing that is dealt with.
    ///
    /// # Errors
    /// What concerns all things (credentials, quota, network) ends it; the same command goes
    /// on. What concerns one is in the result.
    pub fn provision(
        &self,
        session: &mut Session<'_>,
        topics: &dyn Fn(&str) -> Result<Topics>,
        progress: &dyn Fn(&str, &Outcome),
    ) -> Result<Vec<Outcome>> {
        // All topics first: a mistake in them must show before anything is made.
        let topics: Vec<Topics> =
            self.rows.iter().map(|(thing, _)| topics(thing)).collect::<Result<_>>()?;
        let mut report = Report::begin(self, session);
        session.policies_later = Some(BTreeSet::new());
        let ended = report.fill(session, &topics, progress);
        let policies = session.policies_later.take().unwrap_or_default();
        let settled = ended.and_then(|()| report.delete_policies(session, policies));
        report.write()?;
        settled?;
        Ok(report.rows.into_iter().map(|(outcome, _)| outcome).collect())
    }
}

/// How often the report is written while things are made.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

/// How much longer than writing the report the pause before the next writing is at least.
const REPORT_SHARE: u32 = 20;

/// What came of all things of a fleet, each with its journal: read once, not for each writing.
struct Report<'f> {
    fleet: &'f Fleet,
    rows: Vec<(Outcome, Journal)>,
    due: Instant,
}

impl<'f> Report<'f> {
    /// Nothing yet but what the journals say.
    fn begin(fleet: &'f Fleet, session: &Session<'_>) -> Self {
        let waiting = |thing| (Outcome::Waiting, read(session, thing));
        Self { fleet, rows: fleet.things().map(waiting).collect(), due: Instant::now() }
    }

    /// Makes one thing after the other.
    fn fill(
        &mut self,
        session: &mut Session<'_>,
        topics: &[Topics],
        progress: &dyn Fn(&str, &Outcome),
    ) -> Result<()> {
        for (index, (thing, topics)) in self.fleet.things().zip(topics).enumerate() {
            let (row, fatal) = match provision(session, thing, topics) {
                Ok(row) => (row, None),
                Err(error) => {
                    let outcome = Outcome::Failed(format!("{error:#}"));
                    let all = error.downcast_ref::<Failure>().is_some_and(Failure::concerns_all);
                    ((outcome, read(session, thing)), all.then_some(error))
                }
            };
            self.rows[index] = row;
            if Instant::now() >= self.due {
                self.write()?;
            }
            progress(thing, &self.rows[index].0);
            if let Some(error) = fatal {
                let done = self.rows.iter().filter(|(outcome, _)| outcome.is_done()).count();
                return Err(error).with_context(|| {
                    format!("stopped at {thing}; {done} of {} are complete", self.rows.len())
                });
            }
        }
        Ok(())
    }

    /// Deletes policies that the things had before, as far as nobody else has them: `later`, and
    /// those that a run before this one has left to its end, which it did not reach.
    fn delete_policies(&self, session: &Session<'_>, mut later: BTreeSet<String>) -> Result<()> {
        let old = self.rows.iter().flat_map(|(_, journal)| &journal.old_policies);
        later.extend(old.cloned());
        let mut settled = BTreeSet::new();
        for name in later {
            if session.delete_old_policy(&name)? {
                settled.insert(name);
            }
        }
        for (thing, (_, journal)) in self.fleet.things().zip(&self.rows) {
            if !journal.old_policies.is_disjoint(&settled) {
                session.forget_policies(thing, &settled)?;
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<()> {
        let begun = Instant::now();
        let mut writer = csv::Writer::from_writer(Vec::new());
        let added = ["outcome", "certificate", "endpoint", "account", "region", "error"];
        writer.write_record(self.fleet.header.iter().chain(added))?;
        for ((_, record), (outcome, journal)) in self.fleet.rows.iter().zip(&self.rows) {
            let word = outcome.to_string();
            let error = if let Outcome::Failed(error) = outcome { error.as_str() } else { "" };
            let certificate =
                journal.certificate.as_ref().map_or("", |certificate| &*certificate.id);
            let endpoint = journal.endpoint.as_deref().unwrap_or_default();
            let added = [&*word, certificate, endpoint, &journal.account, &journal.region, error];
            writer.write_record(record.iter().chain(added))?;
        }
        let text = writer.into_inner().context("cannot write the report")?;
        files::write(&self.fleet.report, &text, 0o644)?;
        let end = Instant::now();
        self.due = end + REPORT_PAUSE.max((end - begun) * REPORT_SHARE);
        Ok(())
    }
}

/// Provisions a thing that is not complete.
fn provision(
    session: &mut Session<'_>,
    thing: &str,
    topics: &Topics,
) -> Result<(Outcome, Journal)> {
    if let Some(journal) = session.journal(thing)?
        && session.is_complete(&journal, topics)?
    {
        return Ok((Outcome::Complete, journal));
    }
    Ok((Outcome::Provisioned, session.provision(thing, topics)?))
}

/// A thing's journal, as far as there is one.
fn read(session: &Session<'_>, thing: &str) -> Journal {
    session.journal(thing).ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(text: &str) -> Result<Fleet> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("things.csv");
        std::fs::write(&path, text).unwrap();
        Fleet::read(&path)
    }

    #[test]
    fn names_are_read_with_whatever_is_beside_them() {
        let fleet = fleet("\u{FEFF}place,thing\n\"hall, left\",a\nhall, b \n").unwrap();
        let things: Vec<&str> = fleet.rows.iter().map(|(thing, _)| thing.as_str()).collect();
        assert_eq!(things, ["a", "b"]);
        assert!(fleet.report().ends_with("things.report.csv"));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, wanted) in [
            ("", "no column `thing`"),
            ("a\nb\n", "no column `thing`"),
            ("thing\n", "names no thing"),
            ("thing\na\nb c\n", "line 3"),
            ("thing\r\na\r\nb c\r\n", "line 3"),
            ("thing\ra\rb c\r", "line 3"),
            ("thing\n\n\na\n\nb c\n", "line 6"),
            ("thing,place\r\na,\"two\r\nlines\"\r\nb c,\r\n", "line 4"),
            ("thing\na\nb\na\n", "line 4: a is in line 2 already"),
            ("thing,place\na\n", "not a CSV file"),
            ("thing\nlocal\n", "line 2"),
        ] {
            let error = format!("{:#}", fleet(text).unwrap_err());
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }
    #[test]
    fn other_encodings_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("things.csv");
        for (bytes, wanted) in [
            (&b"thing,place\r\na,K\xFCche\r\n"[..], "things.csv:2: this is text, but not in UTF-8"),
            (b"\xFF\xFEt\0h\0", "UTF-16"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = format!("{:#}", Fleet::read(&path).unwrap_err());
            assert!(error.contains(wanted) && error.contains("save it as UTF-8"), "{error}");
        }
    }
}
