//! The machine against a server as AWS documents it, with a flash that loses its power, and against
//! servers that do what they should not.

mod common;

use common::{BLOCK, Device, Fault, Job, LIMITS, Server, image};
use update::install::LIMITS as LIMITS_OF_A_BOARD;
use update::job::{Execution, Status};
use update::machine::{Action, Installed, Machine, Outcome};
use update::progress::Missing;

fn terminal(server: &Server) -> (Status, String) {
    server.verdict().expect("the job has an end")
}

#[test]
fn an_update_is_fetched_checked_and_installed() {
    let image = image(100_001);
    let mut server = Server::new(Job::of_aws(&image), &image);
    let mut device = Device::new();
    device.run(&mut server);
    assert_eq!(device.installed, Some(server.what()));
    assert!(device.slot() == image);
    // The server was told in steps of ten per cent, with the versions that it expects.
    let states: Vec<_> = server.states.iter().map(String::as_str).collect();
    assert_eq!(
        states,
        ["10", "20", "30", "40", "50", "60", "70", "80", "90", "restarting"],
        "{states:?}"
    );
    assert_eq!(server.mismatches, 0);
    // Each block was asked for once.
    assert_eq!(server.blocks_sent, image.len().div_ceil(BLOCK) as u32);

    // On trial: nothing more until it has proved itself.
    let mut device = device.restarted(Some(Outcome::Trial));
    device.run(&mut server);
    assert_eq!(server.verdict(), None);
    device.prove(&mut server);
    assert_eq!(terminal(&server).0, Status::Succeeded);
}

#[test]
fn a_plain_job_with_a_stream_does_as_well() {
    let image = image(5_000);
    let mut server = Server::new(Job::plain(&image), &image);
    let mut device = Device::new();
    device.run(&mut server);
    assert_eq!(device.installed, Some(server.what()));
    assert!(device.slot() == image);
}

/// As AWS's own service writes them: in its order, with members that mean nothing here, by two
/// protocols, with null for what was not given, and with what JSON allows to be escaped.
#[test]
fn documents_of_aws_are_taken_as_they_come() {
    let image = image(5_000);
    for document in [
        r#"{"afr_ota":{"protocols":["MQTT"],"streamname":"AFR_OTA-1","files":[{"filepath":"/","filesize":5000,"fileid":0,"certfile":"Code Verify Key","fileType":0,"sig-sha256-ecdsa":"MAYCAQECAQI="}]}}"#,
        r#"{"afr_ota":{"protocols":["MQTT","HTTP"],"streamname":"AFR_OTA-1","files":[{"filepath":"\/firmware.bin","filesize":5000,"fileid":0,"certfile":"\/","update_data_url":"https:\/\/bucket.s3.amazonaws.com\/firmware.bin?X-Amz-Expires\u003d3600&versionId=a","auth_scheme":"aws.s3.presigned","attr":{"a":[1,{"b":null}],"c":-1.5e3},"fileType":0,"sig-sha256-ecdsa":"MAYCAQECAQI="}]}}"#,
        r#"{"afr_ota":{"protocols":["MQTT"],"streamname":"AFR_OTA-1","files":[{"filepath":null,"filesize":5000,"fileid":0,"certfile":"any","update_data_url":null,"auth_scheme":null,"sig-sha256-ecdsa":"MAYCAQECAQI="}]}}"#,
        r#"{"afr_ota":{"protocols":["MQTT"],"streamname":"AFR_OTA-1","files":[{"filesize":5000,"fileid":0,"fileType":null,"allow_downgrade":null,"sig-sha256-ecdsa":"MAYCAQECAQI="}]}}"#,
        "{ \"afr_ota\" : {\r\n\t\"files\" : [ { \"sig-sha256-ecdsa\" : \"MAYCAQECAQI=\", \"fileid\" : 0,\n \"filesize\" : 5000 } ],\n \"streamname\" : \"AFR_OTA-1\", \"protocols\" : [ \"MQTT\" ] } }",
    ] {
        let mut server = Server::new(Job { document: document.to_owned() }, &image);
        let mut device = Device::new();
        device.run(&mut server);
        assert_eq!(device.installed, Some(server.what()), "{document}");
        assert!(device.slot() == image);
    }
}

#[test]
fn a_slash_of_a_signature_may_be_escaped() {
    let document = |signature: &str| {
        format!(
            r#"{{"execution":{{"jobId":"job-1","versionNumber":2,"jobDocument":{{"update":{{"stream":"s","file":0,"size":9,"sig-sha256-ecdsa":"{signature}"}}}}}}}}"#
        )
    };
    let read = |text: &str| {
        let execution = Execution::read(text.as_bytes()).unwrap().unwrap();
        execution.document.map(|document| document.signature)
    };
    // r is 0x0F, s is 0x3FFF.
    let plain = read(&document("MAcCAQ8CAj//")).unwrap();
    assert_eq!((plain[31], plain[62], plain[63]), (0x0F, 0x3F, 0xFF));
    assert_eq!(read(&document(r"MAcCAQ8CAj\/\/")), Ok(plain));
    assert!(read(&document(r"MAcCAQ8CAj\/\n")).is_err());
}

#[test]
fn a_firmware_that_came_back_is_told_with_its_reason() {
    let image = image(5_000);
    let mut server = Server::new(Job::of_aws(&image), &image);
    let mut device = Device::new();
    device.run(&mut server);
    let reason = "panic: app/src/link.rs:1 \"x\"\n task link";
    let mut device = device.restarted(Some(Outcome::Failed(reason.into())));
    device.run(&mut server);
    let (status, told) = terminal(&server);
    assert_eq!(status, Status::Failed);
    assert_eq!(told, "panic: app/src/link.rs:1 'x'  task link");
}

/// AWS tries again what has FAILED, if the job says so: with the same job, stream and signature.
#[test]
fn what_came_back_is_tried_again_once_it_was_told() {
    let image = image(5_000);
    let mut server = Server::new(Job::of_aws(&image), &image);
    let mut device = Device::new();
    device.run(&mut server);
    let mut device = device.restarted(Some(Outcome::Failed("no connection in time".into())));
    assert!(!device.machine.is_told());
    device.run(&mut server);
    assert_eq!(terminal(&server).0, Status::Failed);
    assert!(device.machine.is_told());
    server.again();
    device.run(&mut server);
    assert_eq!((device.installed, server.verdict()), (Some(server.what()), None));
}

/// A crash between the mark that the new firmware is good and the report of it.
#[test]
fn success_is_reported_by_the_next_boot_if_need_be() {
    let image = image(5_000);
    let mut server = Server::new(Job::of_aws(&image), &image);
    let mut device = Device::new();
    device.run(&mut server);
    let mut device = device.restarted(Some(Outcome::Good));
    device.run(&mut server);
    assert_eq!(terminal(&server).0, Status::Succeeded);
}

#[test]
fn lost_doubled_and_disordered_blocks_do_no_harm() {
    let image = image(60_000);
    for fault in [
        Fault::Drops(3),
        Fault::Doubles,
        Fault::Reverses,
        Fault::TooLong,
        Fault::TooShort,
        Fault::OtherFile,
        Fault::BeyondTheEnd,
        Fault::NoCbor,
    ] {
        let mut server = Server::new(Job::of_aws(&image), &image);
        server.fault = Some(fault);
        let mut device = Device::new();
        device.run(&mut server);
        assert_eq!(device.installed, Some(server.what()), "{fault:?}");
        assert!(device.slot() == image, "{fault:?}");
    }
}

#[test]
fn a_stream_that_ends_is_a_failure() {
    let image = image(60_000);
    let mut server = Server::new(Job::of_aws(&image), &image);
    server.fault = Some(Fault::EndsAfter(20));
    let mut device = Device::new();
    device.run(&mut server);
    assert_eq!(device.installed, None);
    let (status, reason) = terminal(&server);
    assert_eq!(status, Status::Failed);
    assert!(reason.contains("no more blocks"), "{reason}");
    assert!(device.now < 20 * 60_000, "it takes {} ms", device.now);
}

#[test]
fn a_stream_that_is_refused_is_a_failure_with_the_servers_word() {
    let image = image(60_000);
    for (times, member, word) in [
        (1, "o", "ResourceNotFound"),
        (1, "code", "InvalidRequest"),
        (1, "o", "BlockSizeOutOfBounds"),
        (100, "o", "InternalError"),
        (100, "code", "Unauthorized"),
    ] {
        let mut server = Server::new(Job::of_aws(&image), &image);
        server.fault = Some(Fault::Refuses(times, member, word));
        let mut device = Device::new();
        device.run(&mut server);
        let reason = format!("the stream was refused: {word}");
        assert_eq!(terminal(&server), (Status::Failed, reason));
        assert!(device.now < 20 * 60_000, "{word}: it takes {} ms", device.now);
    }
}

/// Each report of an update, and a few of them in a row: one that is lost, one whose answer is, one
/// that comes when there are too many at once.
#[test]
fn reports_that_are_not_answered_are_made_up_for() {
    let image = image(100_001);
    let update = |fault| {
        let mut server = Server::new(Job::of_aws(&image), &image);
        server.fault = fault;
        let mut device = Device::new();
        device.run(&mut server);
        assert_eq!(device.installed, Some(server.what()), "{fault:?}");
        let (begins, sent) = (device.begins, server.blocks_sent);
        let mut device = device.restarted(Some(Outcome::Trial));
        device.run(&mut server);
        device.prove(&mut server);
        assert_eq!(terminal(&server).0, Status::Succeeded, "{fault:?}");
        (device.now, server.reports, begins, sent)
    };
    let (usual, reports, 1, sent) = update(None) else { panic!("it was begun twice") };
    // Nine tens, the restart, the end.
    assert_eq!(reports, 11);
    for first in 1..=reports {
        for times in [1, 3] {
            for fault in [
                Fault::LosesReports(first, times),
                Fault::LosesAnswers(first, times),
                Fault::Throttles(first, times),
            ] {
                let (now, _, begins, blocks) = update(Some(fault));
                assert!(begins <= 1 + times, "{fault:?}: it was begun {begins} times");
                assert_eq!(blocks, sent, "{fault:?}: blocks came twice");
                assert!(now < usual + 60_000, "{fault:?}: it takes {now} ms instead of {usual}");
            }
        }
    }
}

/// Each attempt erases what does not last for ever.
#[test]
fn a_job_that_returns_is_done_with_less_and_less_often() {
    let image = image(20_000);
    let bad = Err("the signature is not that of a key that this device trusts");
    for fault in [Fault::Returns, Fault::Mismatches] {
        let mut server = Server::new(Job::of_aws(&image), &image);
        server.fault = Some(fault);
        let mut device = Device::new();
        device.verdict = bad;
        device.run(&mut server);
        // At once, then after 10, 20, 40 and 80 s; the bench does not wait for the next.
        assert_eq!(device.begins, 5, "{fault:?}");
        assert!(device.now > 150_000, "{fault:?}: in {} ms", device.now);
        // Another job does not wait.
        server.fault = None;
        server.offer("job-2");
        let (now, before) = (device.now, server.windows.len());
        device.go_on(&mut server, |server| server.windows.len() > before);
        assert_eq!((device.begins, device.now), (6, now), "{fault:?}");
    }

    // A server that ends the connection at the report: over connections, each a second later.
    let mut server = Server::new(Job::of_aws(&image), &image);
    let mut device = Device::new();
    device.verdict = bad;
    for _ in 0..300 {
        device.run_until(&mut server, |server| server.verdict().is_some());
        server.again();
        device.reconnect(&mut server);
    }
    let hours = (device.now / 3_600_000) as u32;
    assert!((5..10 + hours).contains(&device.begins), "{} in {hours} h", device.begins);
}

/// When the next job of a server comes that has the device begin files in vain.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Once the device has done with the one before.
    AtOnce,
    /// Once it has heard besides that there is none.
    AfterNone,
    /// While the file of the one before is on its way.
    Midway,
    /// On another connection.
    Elsewhere,
}

/// Each file that is begun erases the sector of progress, whichever job brings it.
#[test]
fn after_the_first_files_one_an_hour_is_begun() {
    const DAY: u64 = 24 * 3_600_000;
    let image = image(20_000);
    for (ids, next) in [
        (1, Next::AfterNone),
        (2, Next::AfterNone),
        (2, Next::AtOnce),
        (2, Next::Midway),
        (2, Next::Elsewhere),
        (100_000, Next::AfterNone),
        (100_000, Next::AtOnce),
        (100_000, Next::Midway),
        (100_000, Next::Elsewhere),
    ] {
        let mut server = Server::new(Job::of_aws(&image), &image);
        let mut device = Device::new();
        device.verdict = Err("the signature is not that of a key that this device trusts");
        device.run_until(&mut server, |server| !server.subscribed.is_empty());
        // Those of the first hour, and after it.
        let (mut soon, mut number) = (0, 0);
        while device.now < DAY {
            let sent = server.blocks_sent;
            device.go_on(&mut server, |server| match next {
                Next::AfterNone => false,
                Next::Midway => server.blocks_sent > sent + 6,
                Next::AtOnce | Next::Elsewhere => server.verdict().is_some(),
            });
            if device.now < DAY / 24 {
                soon = device.prepared;
            }
            number += 1;
            let id = format!("job-{}", number % ids);
            match next {
                Next::Elsewhere => {
                    device.reconnect(&mut server);
                    server.offer(&id);
                }
                _ => {
                    device.now += 100;
                    server.offer(&id);
                }
            }
        }
        // Of two in turn midway, one or the other is gone on with.
        let all = device.prepared;
        assert!((12..=16).contains(&soon), "{ids} ids, {next:?}: {soon}");
        assert!((32..=16 + 24).contains(&all), "{ids} ids, {next:?}: {all}");
    }
}

/// Of the file that is under way nothing is erased, however often it is gone on with.
#[test]
fn a_file_that_is_under_way_does_not_wait() {
    let image = image(60_000);
    let mut server = Server::new(Job::of_aws(&image), &image);
    let mut device = Device::new();
    device.run_until(&mut server, |server| !server.windows.is_empty());
    // As many others as may be begun.
    for number in 2..=15 {
        server.windows.clear();
        server.inbox.clear();
        server.offer(&format!("job-{number}"));
        device.go_on(&mut server, |server| !server.windows.is_empty());
    }
    assert_eq!(device.prepared, 15);
    server.windows.clear();
    server.inbox.clear();
    server.offer("job-16");
    for number in 1..=50 {
        let before = device.now;
        device.go_on(&mut server, |server| !server.windows.is_empty());
        server.windows.clear();
        assert_eq!(device.begins, 15 + number);
        assert!(device.now <= before + 1000, "it waits {} ms", device.now - before);
        device.reconnect(&mut server);
    }
    device.go_on(&mut server, |_| false);
    assert_eq!((device.installed, device.prepared), (Some(server.what()), 16));
    assert!(device.now < 300_000, "it takes {} ms", device.now);
}

/// They erase nothing.
#[test]
fn jobs_that_are_refused_for_their_documents_hold_up_no_other() {
    let image = image(20_000);
    let good = Job::of_aws(&image).document;
    let bad = [r#"{"reboot":true}"#.to_owned(), good.replace(":20000", ":0")];
    let mut server = Server::new(Job { document: bad[0].clone() }, &image);
    let mut device = Device::new();
    device.run(&mut server);
    for number in 2..100 {
        let id = format!("job-{number}");
        server.offer_job(&id, Job { document: bad[number % 2].clone() });
        device.go_on(&mut server, |server| server.verdict().is_some());
        assert_eq!(terminal(&server).0, Status::Rejected);
    }
    let now = device.now;
    server.offer_job("job-100", Job { document: good });
    device.go_on(&mut server, |_| false);
    assert_eq!(device.installed, Some(server.what()));
    assert!(device.now <= now + 1000, "it waits {} ms", device.now - now);
}

/// One server of AWS's has a bad minute, or does not know yet what its role may read.
#[test]
fn a_refusal_that_passes_is_waited_out() {
    let image = image(60_000);
    for word in ["InternalError", "Unauthorized", "RequestThrottled"] {
        let mut server = Server::new(Job::of_aws(&image), &image);
        server.fault = Some(Fault::Refuses(3, "o", word));
        let mut device = Device::new();
        device.run(&mut server);
        assert_eq!((device.installed, server.verdict()), (Some(server.what()), None), "{word}");
    }
}

#[test]
fn what_is_not_for_this_device_is_rejected_with_a_reason() {
    let image = image(5_000);
    let good = Job::of_aws(&image).document;
    for (document, reason) in [
        (r#"{"reboot":true}"#.to_owned(), "knows no such job"),
        (good.replace("filesize", "size"), "no proper file number and size"),
        (good.replace("\"5000\"", "0").replace(":5000", ":0"), "does not fit"),
        (good.replace(":5000", &format!(":{}", LIMITS.slot_size + 1)), "does not fit the slot"),
        (good.replace("streamname", "x"), "names no stream of MQTT"),
        (good.replace("sig-sha256-ecdsa", "sig-sha1-rsa"), "ECDSA P-256"),
        (good.replace("\"sig-sha256-ecdsa\":\"M", "\"sig-sha256-ecdsa\":\"N"), "ECDSA P-256"),
        (good.replace("AFR_OTA-1", "../x"), "names no stream"),
        (good.replace("}]", "},{}]"), "is one file"),
    ] {
        let mut server = Server::new(Job { document: document.clone() }, &image);
        let mut device = Device::new();
        device.run(&mut server);
        let (status, told) = terminal(&server);
        assert_eq!(status, Status::Rejected, "{document}");
        assert!(told.contains(reason), "{told} for {document}");
        assert_eq!(server.blocks_sent, 0);
    }
}

#[test]
fn an_image_that_is_not_ours_is_a_failure_and_fetched_anew_when_asked_again() {
    let image = image(20_000);
    let mut server = Server::new(Job::of_aws(&image), &image);
    let mut device = Device::new();
    device.verdict = Err("the signature is not that of a key that this device trusts");
    device.run(&mut server);
    let (status, reason) = terminal(&server);
    // What AWS would order again, which could only end so again, is FAILED.
    assert_eq!(status, Status::Rejected);
    assert!(reason.contains("not that of a key"), "{reason}");
    let sent = server.blocks_sent;
    server.again();
    device.verdict = Ok(());
    device.run(&mut server);
    assert_eq!(server.blocks_sent, 2 * sent);
    assert_eq!(device.installed, Some(server.what()));
}

/// Whatever became of the update before.
#[test]
fn what_the_device_has_already_is_a_success_that_installs_nothing() {
    let image = image(20_000);
    for outcome in [None, Some(Outcome::Good), Some(Outcome::Failed("it crashed".to_owned()))] {
        let mut server = Server::new(Job::of_aws(&image), &image);
        let mut device = Device::new();
        let installed = outcome.clone().map(|outcome| Installed { what: 1, outcome });
        device.machine = Machine::new("lamp", LIMITS, installed);
        device.verdict = Err("the device has it already");
        device.run(&mut server);
        let wanted = (Status::Succeeded, "the device has it already".to_owned());
        assert_eq!(terminal(&server), wanted, "{outcome:?}");
        assert_eq!((device.installed, server.mismatches), (None, 0));
        assert!(!server.states.iter().any(|state| state == "restarting"));
    }
}

/// Cancelled, or its time is up.
#[test]
fn a_job_that_is_over_on_the_way_is_left() {
    let image = image(60_000);
    for status in ["CANCELED", "TIMED_OUT"] {
        for after in [0, 1, 20, 58] {
            let mut server = Server::new(Job::of_aws(&image), &image);
            server.fault = Some(Fault::Over(after, status));
            let mut device = Device::new();
            device.run(&mut server);
            assert_eq!((device.installed, server.verdict()), (None, None), "{status}, {after}");
        }
        // At the very end: the server no longer takes what the device announces.
        let mut server = Server::new(Job::of_aws(&image), &image);
        server.over_at_announcement = Some(status);
        let mut device = Device::new();
        device.run(&mut server);
        assert_eq!((device.installed, server.verdict()), (None, None), "{status}");
        // The next one is done.
        server.over_at_announcement = None;
        server.offer("job-2");
        device.go_on(&mut server, |_| false);
        assert_eq!(device.installed, Some(server.what()), "{status}");
    }
}

/// What runs on trial is not the job's to take back: it proves itself, and the next update comes.
#[test]
fn a_job_whose_time_is_up_during_the_trial_is_left() {
    let image = image(5_000);
    #[derive(Clone, Copy, Debug)]
    enum When {
        BeforeItConnects,
        Told,
        Silently,
    }
    for when in [When::BeforeItConnects, When::Told, When::Silently] {
        let mut server = Server::new(Job::of_aws(&image), &image);
        let mut device = Device::new();
        device.run(&mut server);
        let mut device = device.restarted(Some(Outcome::Trial));
        if let When::BeforeItConnects = when {
            server.end("TIMED_OUT");
        }
        device.run(&mut server);
        match when {
            When::BeforeItConnects => {}
            When::Told => {
                server.end("TIMED_OUT");
                device.go_on(&mut server, |_| false);
            }
            When::Silently => server.over = Some("TIMED_OUT"),
        }
        device.prove(&mut server);
        assert_eq!((server.verdict(), server.mismatches), (None, 0), "{when:?}");
        server.offer("job-2");
        device.go_on(&mut server, |_| false);
        assert_eq!(device.installed, Some(server.what()), "{when:?}");
    }
}

/// So many blocks are asked for by each request for an image that is as large as a firmware.
fn windows(fault: Option<Fault>) -> (Vec<u32>, u32) {
    let image = image(279_000);
    let mut server = Server::new(Job::of_aws(&image), &image);
    (server.limits, server.fault) = (LIMITS_OF_A_BOARD, fault);
    let mut device = Device::with(LIMITS_OF_A_BOARD);
    device.run(&mut server);
    assert_eq!(device.installed, Some(server.what()), "{fault:?}");
    assert!(device.slot() == image, "{fault:?}");
    (server.windows, server.blocks_sent)
}

#[test]
fn a_server_that_answers_wholly_is_asked_for_more_and_more() {
    assert_eq!(windows(None), (vec![2, 8, 32, 32, 32, 31], 137));
}

/// AWS puts as many blocks into a TLS record as fit, and the device keeps what it has room for.
#[test]
fn a_server_that_joins_blocks_is_asked_for_one_at_a_time() {
    // The largest record, one of those that others have been seen to send, what the device asks for, and
    // what some servers take for that.
    for record in [16_384, 8_087, 4_096, 2_048] {
        let (asked, sent) = windows(Some(Fault::Joins(record)));
        // Of the first two one came.
        assert_eq!((asked[0], sent, asked.len()), (2, 137 + 1, 137), "{record}");
        assert!(asked[1..].iter().all(|asked| *asked == 1), "{record}: {asked:?}");
    }
}

#[test]
fn a_lost_connection_loses_no_block() {
    let image = image(60_000);
    let mut server = Server::new(Job::of_aws(&image), &image);
    let mut device = Device::new();
    for after in [1, 5, 13, 14, 30] {
        device.run_until(&mut server, |server| server.blocks_sent >= after);
        device.machine.offline();
    }
    device.run(&mut server);
    assert_eq!(device.installed, Some(server.what()));
    assert!(device.slot() == image);
    // What was on its way when the connection was lost had to be sent again, nothing else.
    assert!(server.blocks_sent <= 59 + 5 * LIMITS.window, "{} blocks", server.blocks_sent);
}

/// The power fails after each so many bytes written or erased: the device goes on where it was, and
/// what it has in the end is the image.
#[test]
fn the_power_fails_anywhere() {
    let image = image(20_001);
    let mut whole = Device::new();
    let mut server = Server::new(Job::of_aws(&image), &image);
    whole.run(&mut server);
    let most = whole.flash.spent;
    assert!(most > 40_000);
    for cut in (0..most).step_by(61).chain(most - 40..most) {
        let mut server = Server::new(Job::of_aws(&image), &image);
        let mut device = Device::new();
        device.flash.budget = Some(cut);
        device.run_until(&mut server, |_| false);
        assert!(!device.flash.has_power(), "cut at {cut}");
        let fetched = server.blocks_sent;
        let mut device = device.restarted(None);
        device.flash.budget = None;
        device.run(&mut server);
        assert_eq!(device.installed, Some(server.what()), "cut at {cut}");
        assert!(device.slot() == image, "cut at {cut}");
        // At most a sector of blocks and a window come twice.
        let twice = server.blocks_sent - image.len().div_ceil(BLOCK) as u32;
        assert!(twice <= 4 + LIMITS.window, "cut at {cut} after {fetched}: {twice} came twice");
    }
}

/// What a machine asks in this time, and when in seconds; `n` is `$next/get`.
fn questions(machine: &mut Machine, from: u64, to: u64) -> Vec<(char, u64)> {
    let mut asked = Vec::new();
    for now in (1000 * from..1000 * to).step_by(500) {
        while let Some(action) = machine.poll(now) {
            let Action::Publish { topic, payload } = action else { continue };
            let (kind, wanted) = match topic.strip_prefix("$aws/things/lamp/jobs/").unwrap() {
                "start-next" => ('s', "{}"),
                "$next/get" => ('n', r#"{"includeJobDocument":false}"#),
                other => panic!("{other}"),
            };
            assert_eq!(payload, wanted.as_bytes());
            asked.push((kind, now / 1000));
        }
    }
    asked
}

/// A server that says nothing: questions are repeated, more and more slowly, for ever.
#[test]
fn silence_is_answered_by_patience() {
    let mut machine = Machine::new("lamp", LIMITS, None);
    machine.connected(0);
    let asked = questions(&mut machine, 0, 86_400);
    assert_eq!(asked[..6], [('s', 0), ('s', 10), ('s', 30), ('s', 70), ('s', 150), ('s', 310)]);
    let [(_, before), (_, last)] = asked[asked.len() - 2..] else { panic!() };
    assert!(last - before == 3600 && last > 86_400 - 3600, "{asked:?}");
}

/// A job whose document the device cannot take in, because of its size or because of what it is.
#[test]
fn a_job_that_cannot_be_taken_in_is_rejected() {
    let named = |job: &str, version: u32| {
        format!(
            r#"{{"execution":{{"jobId":"{job}","status":"IN_PROGRESS","versionNumber":{version}}}}}"#
        )
    };
    let hear = |machine: &mut Machine, topic: &str, payload: &str| {
        machine.message(&format!("$aws/things/lamp/jobs/{topic}"), payload.as_bytes(), 0);
    };
    let start = || {
        let mut machine = Machine::new("lamp", LIMITS, None);
        machine.connected(0);
        assert_eq!(questions(&mut machine, 0, 1), [('s', 0)]);
        machine
    };
    let deep = format!(r#"{{"execution":{}1{}}}"#, "[".repeat(50), "]".repeat(50));
    for missed in [&|machine: &mut Machine| machine.missed(0) as _, &|machine: &mut Machine| {
        hear(machine, "start-next/accepted", &deep)
    }] as [&dyn Fn(&mut Machine); 2]
    {
        let twice = || {
            let mut machine = start();
            missed(&mut machine);
            assert_eq!(questions(&mut machine, 0, 1), [('n', 0)]);
            assert!(machine.is_naming_in_vain());
            hear(&mut machine, "$next/get/accepted", &named("big", 2));
            assert!(!machine.is_naming_in_vain());
            // What was missed may have been something else.
            assert_eq!(questions(&mut machine, 0, 1), [('s', 0)]);
            missed(&mut machine);
            assert_eq!(questions(&mut machine, 0, 1), [('n', 0)]);
            machine
        };
        let mut machine = twice();
        hear(&mut machine, "$next/get/accepted", &named("big", 2));
        let Some(Action::Publish { topic, payload }) = machine.poll(0) else { panic!() };
        assert_eq!(topic, "$aws/things/lamp/jobs/big/update");
        let payload = String::from_utf8(payload).unwrap();
        assert!(payload.contains(r#""REJECTED","expectedVersion":"2""#), "{payload}");
        assert!(payload.contains("its document is too large for this device"), "{payload}");
        hear(&mut machine, "big/update/accepted", "{}");
        assert_eq!(questions(&mut machine, 0, 1), [('s', 0)]);

        // Another one; none at all.
        let mut machine = twice();
        hear(&mut machine, "$next/get/accepted", &named("other", 2));
        assert_eq!(questions(&mut machine, 0, 1), [('s', 0)]);
        let mut machine = twice();
        hear(&mut machine, "$next/get/accepted", r#"{"execution":{}}"#);
        assert!(machine.is_answered());
        // That there is a job, while there was none.
        missed(&mut machine);
        assert!(machine.is_answered() || questions(&mut machine, 0, 1) == [('s', 0)]);
    }
    // Where the policy does not allow it, AWS ends the connection.
    let mut machine = start();
    machine.forbid_naming();
    machine.missed(0);
    assert_eq!(questions(&mut machine, 0, 1), []);
}

/// What the machine publishes until `to`, looked at each minute: how often it asks for a job.
fn asks(machine: &mut Machine, from: u64, to: u64) -> u32 {
    let mut asked = 0;
    for now in (from..=to).step_by(60_000) {
        while let Some(action) = machine.poll(now) {
            if let Action::Publish { topic, .. } = action {
                assert_eq!(topic, "$aws/things/lamp/jobs/start-next");
                asked += 1;
            }
        }
    }
    asked
}

/// Two services and QoS 0: what a new job is told by may come before the answer that does not know it.
#[test]
fn a_job_that_was_told_of_too_early_is_asked_for_again() {
    const TELLS: &[u8] =
        br#"{"execution":{"jobId":"j","versionNumber":1,"jobDocument":{"update":{}}}}"#;
    let mut machine = Machine::new("lamp", LIMITS, None);
    machine.connected(0);
    assert_eq!(asks(&mut machine, 0, 0), 1);
    let tell = |machine: &mut Machine, topic: &str, payload: &[u8]| {
        machine.message(&format!("$aws/things/lamp/jobs/{topic}"), payload, 0);
    };
    tell(&mut machine, "notify-next", TELLS);
    assert_eq!(asks(&mut machine, 0, 0), 0);
    tell(&mut machine, "start-next/accepted", b"{}");
    assert!(!machine.is_answered());
    assert_eq!(asks(&mut machine, 0, 0), 1);
    // Once. And that there is none was not told too early.
    tell(&mut machine, "notify-next", b"{}");
    tell(&mut machine, "start-next/accepted", b"{}");
    assert_eq!(asks(&mut machine, 0, 0), 0);
    assert!(machine.is_answered());
}

/// What is told may be lost, and a connection may last for weeks.
#[test]
fn a_job_that_nobody_told_of_is_asked_for_in_some_hours() {
    const HOUR: u64 = 3_600_000;
    let mut machine = Machine::new("lamp", LIMITS, None);
    machine.connected(0);
    assert_eq!(asks(&mut machine, 0, 0), 1);
    machine.message("$aws/things/lamp/jobs/start-next/accepted", b"{}", 0);
    assert_eq!(asks(&mut machine, 0, 6 * HOUR - 60_000), 0);
    let mut at = 6 * HOUR;
    while asks(&mut machine, at, at) == 0 {
        at += 60_000;
    }
    assert!(at < 12 * HOUR);
}

#[test]
fn an_older_record_is_not_taken_for_this_job() {
    let image = image(5_000);
    let mut server = Server::new(Job::of_aws(&image), &image);
    for outcome in [Outcome::Good, Outcome::Failed("x".into())] {
        let mut device = Device::new();
        let what = server.what() ^ 1;
        device.machine = Machine::new("lamp", LIMITS, Some(Installed { what, outcome }));
        device.run(&mut server);
        assert_eq!(device.installed, Some(server.what()));
        server.again();
    }
}

#[test]
fn progress_is_only_resumed_for_the_same_image() {
    let fetch = update::progress::Fetch { size: 5000, block_size: 1024, what: 7 };
    let header = fetch.header();
    let mut words = [u32::MAX; 40];
    words[..header.len()].copy_from_slice(&header);
    assert_eq!(Missing::resume(fetch, &words), Some(Missing::all(fetch)));
    for other in [
        update::progress::Fetch { size: 5004, ..fetch },
        update::progress::Fetch { block_size: 2048, ..fetch },
        update::progress::Fetch { what: 8, ..fetch },
    ] {
        assert_eq!(Missing::resume(other, &words), None);
    }
    assert_eq!(Missing::resume(fetch, &[u32::MAX; 40]), None);
}

/// The flash does not take the boot record.
#[test]
fn an_update_that_cannot_be_installed_is_a_failure() {
    let image = image(5_000);
    let mut server = Server::new(Job::of_aws(&image), &image);
    let mut device = Device::new();
    device.run(&mut server);
    assert_eq!(device.installed.take(), Some(server.what()));
    device.machine.not_installed(device.now);
    device.go_on(&mut server, |_| false);
    let (status, reason) = terminal(&server);
    assert_eq!(
        (status, reason.as_str()),
        (Status::Failed, "the flash does not take what is written")
    );
}

/// While a firmware is on trial, the other slot is what comes back: no other job may touch it.
#[test]
fn a_trial_ends_before_the_next_update_begins() {
    let image = image(5_000);
    let mut server = Server::new(Job::of_aws(&image), &image);
    let mut device = Device::new();
    let what = server.what() ^ 1;
    device.machine =
        Machine::new("lamp", LIMITS, Some(Installed { what, outcome: Outcome::Trial }));
    device.run(&mut server);
    assert_eq!((server.blocks_sent, server.verdict(), device.installed), (0, None, None));
    device.prove(&mut server);
    assert_eq!(device.installed, Some(server.what()));
}

/// The rest below the thing's own `$aws/things/…` is its application's.
#[test]
fn what_is_about_jobs_and_streams_of_the_thing_is_for_updates() {
    let machine = Machine::new("lamp", LIMITS, None);
    for (path, own) in [
        ("lamp/jobs/notify-next", true),
        ("lamp/jobs/start-next/rejected", true),
        ("lamp/streams/AFR_OTA-1/data/cbor", true),
        ("lamp/shadow/update/delta", false),
        ("lamp/shadow/name/jobs/get/accepted", false),
        ("lamp/jobs", false),
        ("lamp2/jobs/notify-next", false),
        ("lam/jobs/notify-next", false),
        ("", false),
    ] {
        assert_eq!(machine.is_for_updates(&format!("$aws/things/{path}")), own, "{path}");
    }
    assert!(!machine.is_for_updates("lamp/jobs/notify-next"));
}
