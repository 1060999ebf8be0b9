//! A gateway's address after a reload, where nobody wants it any more.

use super::*;

#[test]
fn what_bears_the_number_that_is_ours_now_and_is_not_wanted_goes() {
    let none = || changed(|policy| policy.ranges[0].gateway = None);
    let mut home = Home::found(none(), &[(VETHS[0], 65), (VETHS[1], 3)]);
    assert_eq!(home.there(), [(VETHS[0], 65), (VETHS[1], 3)]);
    let mut ours = none();
    ours.routes.protocol = 65;
    home.input(Input::Reload(Box::new(ours)));
    assert_eq!(home.there(), [(VETHS[1], 3)]);
}
