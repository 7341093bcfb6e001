//! Temperature, pressure and humidity of a BME280 (SDA at D2, SCL at D1) on the status topic, at
//! once and then each minute.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;

use bme280::i2c::BME280;
use chip::pins::Pull;
use chip::{Board, Delay, I2c, Lamp, Speed};
use runtime::{pause, priority, spawn};

/// The version of this application.
const VERSION: &str = runtime::version!();

chip::board!(start, VERSION);
chip::pins!();

/// Stack of the task, in words of four bytes: half of it is for the decimal digits of an `f32`.
const SENSOR_STACK: u16 = 1024;
/// Milliseconds between two readings.
const PERIOD_MS: u32 = 60_000;

fn start(_light: Lamp, board: Board) {
    let pins = Pins::take().expect("nobody else takes them");
    let (sda, scl) = (pins.d2.into_open_drain(Pull::Up), pins.d1.into_open_drain(Pull::Up));
    let mut sensor = BME280::new_primary(I2c::new(sda, scl, Delay::new(), Speed::Fast));
    runtime::start(board, "sensor", VERSION, |thing, identity, _plan| {
        let (thing, topic) = (thing.clone(), identity.status_topic);
        spawn("sensor", SENSOR_STACK, priority::ORDINARY, move || {
            let mut delay = Delay::new();
            loop {
                // Each time anew: a sensor that was unplugged has forgotten its settings.
                match sensor.init(&mut delay).and_then(|()| sensor.measure(&mut delay)) {
                    Ok(air) => {
                        let text = format!(
                            r#"{{"celsius":{:.2},"hectopascal":{:.1},"humidity":{:.1}}}"#,
                            air.temperature,
                            air.pressure / 100.0,
                            air.humidity
                        );
                        if let Err(refused) = thing.post(topic, text) {
                            log::warn!(target: "app", "a reading is not told: {refused}");
                        }
                    }
                    Err(error) => log::warn!(target: "app", "no reading: {error:?}"),
                }
                pause(PERIOD_MS);
            }
        });
    });
}
