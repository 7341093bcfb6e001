//! What can go wrong with a call to AWS, and what to do about it.

use std::fmt;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The AWS CLI has no credentials.
    NoCredentials,
    /// The profile named is not in the AWS CLI's configuration.
    NoProfile,
    /// The credentials' time is over.
    Expired,
    /// AWS does not know the credentials.
    BadCredentials,
    /// The person may not do this: the action, as policies name it.
    Denied(String),
    /// Too many calls in a short time.
    Throttled,
    /// A limit of the account is reached.
    Quota,
    /// No region is configured, or something that is none.
    NoRegion,
    /// Nothing answers at this address.
    Unreachable(String),
    /// What answers is not AWS, by its certificate.
    Untrusted,
    /// The AWS CLI wants to ask the person something, and cannot.
    Asks,
    /// The AWS CLI was ended from outside, as by Ctrl-C: the call may or may not have taken effect.
    Interrupted,
    /// The call may or may not have taken effect: no answer, or an internal error of AWS.
    Unanswered,
    /// What the call is about does not exist.
    NotFound,
    /// What the call would make exists, and is different.
    Exists,
    /// Something else still depends on it; shortly after a detachment that can be stale news.
    Conflict,
    /// Anything else.
    Other,
}

/// A call that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The AWS CLI's command, such as `iot create-thing`.
    pub call: String,
    /// Why.
    pub cause: Cause,
    /// What the AWS CLI said.
    pub said: String,
}

impl Failure {
    /// Reads what the AWS CLI wrote to its standard error.
    #[must_use]
    pub fn read(call: &str, said: &str) -> Self {
        // Repetition is this program's business; see `Cli`.
        let said = said.trim().replace(" (reached max retries: 0)", "");
        Self { call: call.to_owned(), cause: cause(call, &said), said }
    }

    /// Whether an error is a failure of that cause.
    #[must_use]
    pub fn is(error: &anyhow::Error, cause: &Cause) -> bool {
        error.downcast_ref::<Self>().is_some_and(|failure| failure.cause == *cause)
    }

    /// Whether an error is a failure for want of a permission.
    #[must_use]
    pub fn is_denial(error: &anyhow::Error) -> bool {
        error.downcast_ref().is_some_and(|Self { cause, .. }| matches!(cause, Cause::Denied(_)))
    }

    /// What came of a call; `None` when what it is about does not exist.
    ///
    /// # Errors
    /// As the call's.
    pub fn unless_missing<T>(result: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        match result {
            Err(error) if Self::is(&error, &Cause::NotFound) => Ok(None),
            other => other.map(Some),
        }
    }

    /// Whether the next call would fail for the same reason, whatever it is about.
    #[must_use]
    pub fn concerns_all(&self) -> bool {
        !matches!(self.cause, Cause::NotFound | Cause::Exists | Cause::Conflict | Cause::Other)
    }

    /// What it means, and what the person can do; whether it then goes on where it stopped.
    fn explain(&self) -> (Option<String>, &'static str, bool) {
        let (meaning, remedy, goes_on) = match &self.cause {
            Cause::NoCredentials => (
                "the AWS CLI has no credentials".to_owned(),
                "run `aws configure` (version 2 also has `aws configure sso`), or name a profile \
                 by AWS_PROFILE=…; then run the same command again",
                false,
            ),
            Cause::NoProfile => (
                "the AWS CLI has no such profile".to_owned(),
                "`aws configure list-profiles` shows those that there are; `aws configure \
                 --profile NAME` makes one",
                false,
            ),
            Cause::Expired => (
                "the credentials have expired".to_owned(),
                "run `aws sso login`, or get new ones the way that you got these",
                true,
            ),
            Cause::BadCredentials => (
                "AWS does not accept these credentials".to_owned(),
                "`aws configure list` shows where they come from; check the access key, its \
                 secret and this machine's clock, and whether the account has this region \
                 enabled (AWS console, Account, AWS Regions)",
                false,
            ),
            Cause::Denied(action) => (
                format!("you lack the permission {action}"),
                "ask the account's administrator for it (README, \"On AWS\" and \"Updates\", lists \
                 all that is needed)",
                true,
            ),
            Cause::Throttled => (
                "AWS asks to slow down, and still did after several attempts".to_owned(),
                "wait some minutes",
                true,
            ),
            Cause::Quota => (
                "a quota of the account is reached".to_owned(),
                "delete what is no longer needed (`make deprovision THING=…`) or have the quota \
                 raised (AWS console, Service Quotas, AWS IoT Core)",
                true,
            ),
            Cause::NoRegion => (
                "no region is configured, or not one that could be".to_owned(),
                "name one, as in AWS_REGION=eu-west-1, or run `aws configure`",
                false,
            ),
            Cause::Unreachable(address) => (
                format!("nothing answers at {address}"),
                "either this machine is offline (behind a proxy, set HTTPS_PROXY), or there is no \
                 such region or no AWS IoT Core in it (AWS_REGION); then run the same command \
                 again",
                false,
            ),
            Cause::Untrusted => (
                "the other end's certificate is not AWS's".to_owned(),
                "behind a proxy that looks into TLS, name its root's file by AWS_CA_BUNDLE=…; \
                 elsewhere, do not go on in this network",
                false,
            ),
            Cause::Asks => (
                "the AWS CLI wants to ask you something, a code for instance, and cannot from here"
                    .to_owned(),
                "run `aws sts get-caller-identity` (with the same AWS_PROFILE) in a terminal and \
                 answer",
                true,
            ),
            Cause::Interrupted => (
                "it was interrupted".to_owned(),
                "run the same command again: it looks first and makes nothing twice",
                false,
            ),
            Cause::Unanswered => (
                "it is unknown whether the call took effect".to_owned(),
                "run the same command again: it looks first and makes nothing twice",
                false,
            ),
            Cause::NotFound | Cause::Exists | Cause::Conflict | Cause::Other => {
                return (None, "mend what it says, then run the same command again", false);
            }
        };
        (Some(meaning), remedy, goes_on)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (meaning, remedy, goes_on) = self.explain();
        write!(f, "`aws {}` failed: ", self.call)?;
        match meaning {
            Some(meaning) if self.said.is_empty() => f.write_str(&meaning)?,
            Some(meaning) => write!(f, "{meaning}\n  the AWS CLI says: {}", self.said)?,
            None => f.write_str(&self.said)?,
        }
        let again = ", then run the same command again: it goes on where it stopped";
        write!(f, "\n  what to do: {remedy}{}", if goes_on { again } else { "" })
    }
}

impl std::error::Error for Failure {}

/// Recognises the error. AWS's own have a code in parentheses; the AWS CLI's (both
/// versions) are told by their wording.
fn cause(call: &str, said: &str) -> Cause {
    if let Some((code, operation)) = code_and_operation(said) {
        return match code {
            "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => Cause::Expired,
            "InvalidClientTokenId"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "InvalidAccessKeyId"
            | "RequestTimeTooSkewed"
            | "AuthFailure" => Cause::BadCredentials,
            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedException"
            | "ForbiddenException"
            | "UnauthorizedOperation"
            | "403" => Cause::Denied(denied_action(call, said, operation)),
            "LimitExceededException" | "LimitExceeded" | "ServiceQuotaExceededException" => {
                Cause::Quota
            }
            // The second to the last are IAM's and S3's.
            "ResourceNotFoundException" | "NoSuchEntity" | "NoSuchBucket" | "NoSuchKey" | "404" => {
                Cause::NotFound
            }
            "ResourceAlreadyExistsException" => Cause::Exists,
            "DeleteConflictException" => Cause::Conflict,
            // DeleteThing has no code of its own for it.
            "InvalidRequestException" if said.contains("still attached") => Cause::Conflict,
            "InternalFailure"
            | "InternalFailureException"
            | "InternalException"
            | "InternalServerException"
            | "InternalError"
            | "RequestTimeout"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "500"
            | "502"
            | "503"
            | "504" => Cause::Unanswered,
            "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "PriorRequestNotComplete"
            | "BandwidthLimitExceeded"
            | "SlowDown"
            | "429" => Cause::Throttled,
            code if code.starts_with("Throttl") => Cause::Throttled,
            _ => Cause::Other,
        };
    }
    let has = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
    if has(&["Unable to locate credentials", "Partial credentials found"]) {
        Cause::NoCredentials
    } else if said.contains("config profile") && said.contains("could not be found") {
        Cause::NoProfile
    } else if has(&["has expired", "Token has expired", "refresh failed", "session is expired"]) {
        Cause::Expired
    } else if has(&["You must specify a region", "region_name"]) {
        Cause::NoRegion
    } else if has(&["SSL validation failed", "CERTIFICATE_VERIFY_FAILED"]) {
        Cause::Untrusted
    } else if has(&[
        "Could not connect to the endpoint",
        "Connect timeout on endpoint",
        "Failed to connect to proxy",
    ]) {
        let address = said.split('"').nth(1).unwrap_or("AWS");
        // What follows the host is of no interest.
        let end = address.match_indices('/').nth(2).map_or(address.len(), |(at, _)| at);
        Cause::Unreachable(address[..end].to_owned())
    } else if has(&[
        "Connection was closed",
        "Read timeout",
        "Connection broken",
        "Connection reset",
    ]) {
        Cause::Unanswered
    } else if has(&["Can not control echo on the terminal"]) {
        // Python's getpass, where there is no terminal.
        Cause::Asks
    } else {
        Cause::Other
    }
}

/// `An error occurred (CODE) when calling the OPERATION operation: …`
fn code_and_operation(said: &str) -> Option<(&str, &str)> {
    let (code, rest) = said.split_once("An error occurred (")?.1.split_once(')')?;
    let operation = rest
        .split_once("when calling the ")
        .and_then(|(_, rest)| rest.split_once(" operation"))
        .map_or("", |(operation, _)| operation);
    Some((code, operation))
}

/// The action as AWS names it, or else by the operation.
fn denied_action(call: &str, said: &str, operation: &str) -> String {
    let named = said.split_once("not authorized to perform: ");
    if let Some(action) = named.and_then(|(_, rest)| rest.split_whitespace().next()) {
        return action.trim_end_matches(['.', ',']).to_owned();
    }
    let service = call.split(' ').next().unwrap_or_default();
    // S3's actions have other names than its operations.
    match (service, operation) {
        ("s3api", "HeadBucket") => "s3:ListBucket".to_owned(),
        ("s3api", "HeadObject") => "s3:GetObject".to_owned(),
        ("s3api", _) => format!("s3:{operation}"),
        _ => format!("{service}:{operation}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(said: &str) -> Cause {
        Failure::read("iot create-thing", said).cause
    }

    fn aws(code: &str, message: &str) -> Cause {
        of(&format!(
            "\nAn error occurred ({code}) when calling the CreateThing operation: {message}"
        ))
    }

    #[test]
    fn codes_of_aws_are_recognised() {
        assert_eq!(aws("ExpiredTokenException", "The security token is expired"), Cause::Expired);
        assert_eq!(aws("UnrecognizedClientException", "invalid"), Cause::BadCredentials);
        assert_eq!(aws("ThrottlingException", "Rate exceeded"), Cause::Throttled);
        assert_eq!(aws("LimitExceededException", "too many"), Cause::Quota);
        assert_eq!(aws("ResourceNotFoundException", "no"), Cause::NotFound);
        assert_eq!(aws("InternalFailureException", "oops"), Cause::Unanswered);
        assert_eq!(aws("InvalidRequestException", "bad name"), Cause::Other);
    }

    #[test]
    fn the_denied_action_is_named() {
        let said = "User: arn:aws:iam::1:user/x is not authorized to perform: iot:CreateThing on \
                    resource: arn:aws:iot:eu-west-1:1:thing/demo because no policy allows it";
        assert_eq!(aws("AccessDeniedException", said), Cause::Denied("iot:CreateThing".to_owned()));
        // Some answers carry no text.
        assert_eq!(
            aws("AccessDeniedException", "None"),
            Cause::Denied("iot:CreateThing".to_owned())
        );
    }

    #[test]
    fn s3_and_iam_have_words_of_their_own() {
        let head = |code: &str, call: &str, operation: &str| {
            let said =
                format!("An error occurred ({code}) when calling the {operation} operation: x");
            Failure::read(call, &said).cause
        };
        assert_eq!(head("404", "s3api head-bucket", "HeadBucket"), Cause::NotFound);
        assert_eq!(head("NoSuchEntity", "iam get-role", "GetRole"), Cause::NotFound);
        // Those of botocore's own lists too.
        for (code, cause) in [
            ("SlowDown", Cause::Throttled),
            ("BandwidthLimitExceeded", Cause::Throttled),
            ("PriorRequestNotComplete", Cause::Throttled),
            ("RequestThrottled", Cause::Throttled),
            ("RequestThrottledException", Cause::Throttled),
            ("InternalError", Cause::Unanswered),
            ("RequestTimeout", Cause::Unanswered),
            ("InvalidAccessKeyId", Cause::BadCredentials),
            ("RequestTimeTooSkewed", Cause::BadCredentials),
        ] {
            assert_eq!(head(code, "s3api put-object", "PutObject"), cause, "{code}");
        }
        let denied = |action: &str| Cause::Denied(action.to_owned());
        assert_eq!(head("403", "s3api head-bucket", "HeadBucket"), denied("s3:ListBucket"));
        assert_eq!(head("403", "s3api head-object", "HeadObject"), denied("s3:GetObject"));
        assert_eq!(head("AccessDenied", "s3api put-object", "PutObject"), denied("s3:PutObject"));
        assert_eq!(head("AccessDenied", "iam get-role", "GetRole"), denied("iam:GetRole"));
        assert_eq!(
            head("AccessDenied", "sts get-caller-identity", "GetCallerIdentity"),
            denied("sts:GetCallerIdentity")
        );
    }

    #[test]
    fn a_failure_reads_as_meaning_words_and_remedy() {
        let said = "\nAn error occurred (LimitExceededException) when calling the CreateThing \
                    operation (reached max retries: 0): too many\n";
        let text = Failure::read("iot create-thing", said).to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "`aws iot create-thing` failed: a quota of the account is reached");
        assert_eq!(
            lines[1],
            "  the AWS CLI says: An error occurred (LimitExceededException) when calling the \
             CreateThing operation: too many"
        );
        assert!(lines[2].starts_with("  what to do: delete what is no longer needed"), "{text}");
        let text = Failure::read("iot create-thing", "odd").to_string();
        assert!(text.starts_with("`aws iot create-thing` failed: odd\n  what to do: "), "{text}");
    }

    #[test]
    fn words_of_the_cli_are_recognised() {
        for (said, cause) in [
            ("Unable to locate credentials. You can configure credentials", Cause::NoCredentials),
            ("The config profile (x) could not be found", Cause::NoProfile),
            (
                "Error when retrieving token from sso: Token has expired and refresh failed",
                Cause::Expired,
            ),
            ("You must specify a region. You can also", Cause::NoRegion),
            ("Provided region_name 'x y' doesn't match a supported format.", Cause::NoRegion),
            ("SSL validation failed for https://iot.eu-west-1.amazonaws.com/", Cause::Untrusted),
            (
                "Could not connect to the endpoint URL: \"https://iot.eu-wset-1.amazonaws.com/things/demo\"",
                Cause::Unreachable("https://iot.eu-wset-1.amazonaws.com".to_owned()),
            ),
            ("Connection was closed before we received a valid response", Cause::Unanswered),
            ("GetPassWarning: Can not control echo on the terminal.", Cause::Asks),
            ("Unknown options: --x", Cause::Other),
        ] {
            assert_eq!(of(said), cause, "{said}");
        }
    }
}
