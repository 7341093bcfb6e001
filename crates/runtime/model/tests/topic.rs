//! Filters and topics: the examples of MQTT 3.1.1, 4.7.1 to 4.7.3, and AWS's own topics.

use runtime_model::topic::matches;

#[test]
fn a_filter_without_wildcards_is_the_topic() {
    assert!(matches("esp8266/control", "esp8266/control"));
    for topic in ["esp8266/Control", "esp8266/control/", "/esp8266/control", "esp8266", ""] {
        assert!(!matches("esp8266/control", topic), "{topic}");
    }
    assert!(matches("/finance", "/finance"));
    assert!(!matches("finance", "/finance"));
}

#[test]
fn a_plus_is_one_level() {
    for (filter, topic) in [
        ("sport/tennis/+", "sport/tennis/player1"),
        ("sport/+", "sport/"),
        ("+/+", "/finance"),
        ("/+", "/finance"),
        ("$aws/things/+/jobs/notify-next", "$aws/things/lamp/jobs/notify-next"),
    ] {
        assert!(matches(filter, topic), "{filter} {topic}");
    }
    for (filter, topic) in [
        ("sport/tennis/+", "sport/tennis/player1/ranking"),
        ("sport/+", "sport"),
        ("+", "/finance"),
        ("sport/+/player1", "sport/player1"),
    ] {
        assert!(!matches(filter, topic), "{filter} {topic}");
    }
}

#[test]
fn a_hash_is_all_that_follows() {
    for topic in ["sport/tennis", "sport/tennis/ranking", "sport/tennis/score/wimbledon"] {
        assert!(matches("sport/tennis/#", topic), "{topic}");
        assert!(matches("#", topic));
    }
    assert!(!matches("sport/tennis/#", "sport/tenni"));
    assert!(!matches("sport/tennis/#", "sport"));
}

#[test]
fn wildcards_do_not_match_a_dollar() {
    assert!(!matches("#", "$SYS/broker"));
    assert!(!matches("+/broker", "$SYS/broker"));
    assert!(matches("$SYS/#", "$SYS/broker"));
    assert!(matches("$SYS/+", "$SYS/broker"));
}
