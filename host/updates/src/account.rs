//! Where the commands go: AWS, or the local cloud.

use anyhow::{Context as _, Result, bail};
use cloud::updates::Requests;
use provisioning::{Cli, Failure, Options};
use serde_json::Value;

/// An account that knows the commands of the AWS CLI.
pub trait Account {
    /// `aws SERVICE OPERATION --name=value …`.
    ///
    /// # Errors
    /// [`Failure`] when it is refused.
    fn call(&mut self, service: &str, operation: &str, options: &Options<'_>) -> Result<Value>;
}

impl dyn Account + '_ {
    /// As [`Account::call`], for something that may not be there.
    pub(crate) fn look_for(
        &mut self,
        service: &str,
        operation: &str,
        options: &Options<'_>,
    ) -> Result<Option<Value>> {
        Failure::unless_missing(self.call(service, operation, options))
    }
}

/// AWS, by the AWS CLI.
pub struct Aws<'s> {
    cli: Cli,
    say: &'s dyn Fn(&str),
}

impl<'s> Aws<'s> {
    /// The account of this AWS CLI, in the region that it is told or configured for; `say` shows
    /// that it was asked to slow down.
    ///
    /// # Errors
    /// When there is no region.
    pub fn new(mut cli: Cli, say: &'s dyn Fn(&str)) -> Result<(Self, String)> {
        let region = cli.settle_region()?;
        Ok((Self { cli, say }, region))
    }
}

impl Account for Aws<'_> {
    fn call(&mut self, service: &str, operation: &str, options: &Options<'_>) -> Result<Value> {
        self.cli.call(service, operation, options, self.say)
    }
}

/// The local cloud that runs in another terminal.
#[derive(Debug)]
pub struct Local(pub Requests);

impl Account for Local {
    fn call(&mut self, service: &str, operation: &str, options: &Options<'_>) -> Result<Value> {
        let named = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        match self.0.call(service, operation, named.collect())? {
            Ok(answer) => Ok(answer),
            // In the words of the AWS CLI: whoever reads failures knows one form.
            Err(refused) => {
                let said = format!(
                    "An error occurred ({}) when calling the {operation} operation: {}",
                    refused.code, refused.message
                );
                bail!(Failure::read(&format!("{service} {operation}"), &said))
            }
        }
    }
}

/// The ARN of a role, if there is one of that name.
///
/// # Errors
/// [`Failure`] when that is refused.
pub fn find_role(account: &mut dyn Account, role: &str) -> Result<Option<String>> {
    let found = account.look_for("iam", "get-role", &[("role-name", role)])?;
    let arn = |found: Value| found["Role"]["Arn"].as_str().map(str::to_owned);
    found.map(|found| arn(found).context("AWS does not say the role's ARN")).transpose()
}

/// Whose account it is, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub account: String,
    /// The region.
    pub region: String,
    /// `aws`, or the name of another partition.
    pub partition: String,
    /// Who asks.
    pub who: String,
    /// Whether it is the local cloud.
    pub local: bool,
}

impl Place {
    /// Asks whose account it is.
    ///
    /// # Errors
    /// When it does not say.
    pub fn ask(account: &mut dyn Account, region: &str, local: bool) -> Result<Self> {
        let who = account.call("sts", "get-caller-identity", &[])?;
        let text = |name: &str| who[name].as_str().unwrap_or_default().to_owned();
        let arn = text("Arn");
        // China and GovCloud have partitions of their own.
        let partition = arn.split(':').nth(1).unwrap_or("aws").to_owned();
        let account = text("Account");
        Ok(Self { account, region: region.to_owned(), partition, who: arn, local })
    }

    /// The name of something of AWS IoT.
    #[must_use]
    pub fn arn(&self, kind: &str, name: &str) -> String {
        format!("arn:{}:iot:{}:{}:{kind}/{name}", self.partition, self.region, self.account)
    }

    /// The ARN of a role by its name, as long as nobody knows better: it may have a path.
    #[must_use]
    pub fn role_arn(&self, role: &str) -> String {
        format!("arn:{}:iam::{}:role/{role}", self.partition, self.account)
    }

    /// The store's name when nobody names another.
    #[must_use]
    pub fn bucket(&self) -> String {
        format!("esp8266-updates-{}-{}", self.account, self.region)
    }
}
