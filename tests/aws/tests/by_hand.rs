//! The stand-in as a person uses it: started by hand, and asked what no program here asks.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aws_stand_in::quick_aws;
use process::programs::Owned;

/// What a shell that was led to the stand-in by `environment` answers to an `aws` command: whether
/// it went well, and all that was said.
fn aws(environment: &Path, words: &str) -> (bool, String) {
    let mut path = vec![quick_aws().parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    // Before 2.13 and 1.29 the AWS CLI does not know the variable.
    let script = format!(
        ". '{}' && aws --endpoint-url \"$AWS_ENDPOINT_URL\" {words} 2>&1",
        environment.display()
    );
    let done = Command::new("sh")
        .args(["-c", &script])
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("AWS_PAGER", "")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (done.status.success(), String::from_utf8_lossy(&done.stdout).into_owned())
}

#[test]
fn any_call_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let environment = folder.path().join("stand-in.env");
    let mut stand_in = Owned::spawn(
        Command::new(env!("CARGO_BIN_EXE_aws-stand-in"))
            .arg(&environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped()),
    )
    .unwrap();
    let mut errors = stand_in.child().stderr.take().unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    while !environment.is_file() {
        assert!(Instant::now() < deadline, "the stand-in does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    // One of them is what version 1 of the AWS CLI reads, the other what version 2 prefers.
    let text = std::fs::read_to_string(&environment).unwrap();
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        assert!(text.contains(&format!("export {name}='eu-west-1'")), "{text}");
    }
    for words in [
        "iot list-policies",
        "iot list-things",
        "iot list-thing-groups",
        "iot create-thing --thing-name by-hand",
        "iot list-things --max-results 1",
        "iot create-policy --policy-name by-hand --policy-document {}",
        "iot list-policy-versions --policy-name by-hand",
        "sts get-session-token",
        "dynamodb list-tables",
    ] {
        let (good, said) = aws(&environment, words);
        assert!(good, "{words}: {said}");
    }
    // What it does not play, it says.
    for (words, wanted) in [
        ("iot describe-thing --thing-name nobody", "ResourceNotFoundException"),
        ("iot create-certificate-from-csr --certificate-signing-request rubbish", "does not play"),
        ("iot list-audit-findings", "does not play"),
    ] {
        let (good, said) = aws(&environment, words);
        assert!(!good && said.contains(wanted), "{words}: {said}");
    }
    drop(stand_in);
    let mut said = String::new();
    errors.read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}
