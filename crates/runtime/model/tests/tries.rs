//! Messages that are kept until the server has them.

use runtime_model::tries::{Again, MOST_PUT_OFF, Tries};

#[test]
fn three_connections_that_ended_over_it() {
    let mut tries = Tries::default();
    assert_eq!([(); 3].map(|()| tries.lost()), [Again::First, Again::First, Again::Dropped]);
}

/// Nor does it count as a connection that ended.
#[test]
fn a_low_heap_passes() {
    let mut tries = Tries::default();
    assert!(!tries.was_put_off());
    assert_eq!(tries.lost(), Again::First);
    for _ in 1..MOST_PUT_OFF {
        assert_eq!(tries.put_off(), Again::Last);
    }
    assert!(tries.was_put_off());
    assert_eq!(tries.lost(), Again::First);
    assert_eq!(tries.put_off(), Again::Dropped, "it is too large for this heap");
}
