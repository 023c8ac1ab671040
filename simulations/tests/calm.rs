//! Eight members, one percent of loss, nothing else wrong.
use watchfire_simulations::{Scenario, World};

#[test]
fn calm() {
    let report = World::new(Scenario::calm(1, 8)).unwrap().run();
    match report { Ok(report) => println!("{report:#?}"), Err(e) => panic!("{e}") }
}
