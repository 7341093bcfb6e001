//! Each kernel in assembly computes what its twin in Rust computes, on random limbs and on limbs at
//! the ends of their range, and takes the same path whatever they are.

use curve_tests::{Argument, Program};
use fuzz::Random;
use p256_lx106::kernel::{self, COUNT, Limbs};

/// Limbs in range: each from a few kinds.
fn limbs(random: &mut Random) -> Limbs {
    let kind = random.number() % 6;
    let half = |i: usize, random: &mut Random| -> i16 {
        let any = random.number();
        match (kind, i) {
            (_, COUNT) => 0,
            (0, _) => 0,
            (1, 18) => -700,
            (1, _) => -0x2000,
            (2, 18) => 700,
            (2, _) => 0x1FFF,
            (_, 18) => (any % 1400) as i16 - 700,
            (3, _) => [-0x2000, 0x1FFF][(any % 2) as usize],
            (_, _) => (any % 0x4000) as i16 - 0x2000,
        }
    };
    std::array::from_fn(|word| {
        let low = half(2 * word, random) as u16;
        let high = half(2 * word + 1, random) as u16;
        u32::from(low) | u32::from(high) << 16
    })
}

fn to_bytes(limbs: &Limbs) -> Vec<u8> {
    limbs.iter().flat_map(|word| word.to_le_bytes()).collect()
}

type Twin = fn(&mut Limbs, &Limbs, &Limbs);

fn compare(name: &str, twin: Twin) {
    let mut program = Program::build(name, &["bsp/lx106/c/p256.S"]).expect("the kernels assemble");
    let mut random = Random::new(name.len() as u64);
    let mut first = None;
    for round in 0..2000 {
        let (a, b) = (limbs(&mut random), limbs(&mut random));
        let mut wanted = [0; 10];
        twin(&mut wanted, &a, &b);
        let (mut out, mut x, mut y) = (vec![0; 40], to_bytes(&a), to_bytes(&b));
        let course = program
            .call(
                name,
                &mut [
                    Argument::Buffer(&mut out),
                    Argument::Buffer(&mut x),
                    Argument::Buffer(&mut y),
                ],
            )
            .expect("it returns");
        assert_eq!(out[..38], to_bytes(&wanted)[..38], "{name} {round}: {a:x?} {b:x?}");
        assert_eq!((x, y), (to_bytes(&a), to_bytes(&b)), "operands stay");
        // a2 is not a result.
        let course = (course.instructions, course.path, course.addresses, course.stack);
        assert_eq!(*first.get_or_insert(course), course, "{name} {round}");
    }
}

/// The kernel of RSA: limbs and digits at the ends of their range, columns as full as they get.
#[test]
fn rsa_rows() {
    let mut program =
        Program::build("rsa_add_products", &["bsp/lx106/c/rsa.S"]).expect("the kernel assembles");
    let mut random = Random::new(4096);
    for round in 0..500 {
        let count = 5 * (1 + random.below(20));
        let number = |most: i32, random: &mut Random| -> i16 {
            let any = random.number() as i32;
            let number = match round % 4 {
                0 => -most,
                1 => most,
                2 => [-most, most][(any & 1) as usize],
                _ => any % (most + 1),
            };
            number.try_into().expect("a halfword")
        };
        let stream: Vec<i16> = (0..count).map(|_| number(0x2000, &mut random)).collect();
        let digits: [i16; 5] = std::array::from_fn(|_| number(16_712, &mut random));
        let mut wanted: Vec<i32> =
            (0..count + 7).map(|_| random.number() as i32 % (20 << 26)).collect();
        let mut columns: Vec<u8> = wanted.iter().flat_map(|word| word.to_le_bytes()).collect();
        rsa_lx106::kernel::add_products(&mut wanted, &stream, &digits);
        let halves = |halves: &[i16]| -> Vec<u8> {
            halves.iter().flat_map(|half| half.to_le_bytes()).collect()
        };
        program
            .call(
                "rsa_add_products",
                &mut [
                    Argument::Buffer(&mut columns),
                    Argument::Buffer(&mut halves(&stream)),
                    Argument::Number(count as u32),
                    Argument::Buffer(&mut halves(&digits)),
                ],
            )
            .expect("it returns");
        let wanted: Vec<u8> = wanted.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(columns, wanted, "{round}: {stream:x?} {digits:x?}");
    }
}

#[test]
fn multiply() {
    compare("p256_multiply", kernel::multiply);
}

#[test]
fn square() {
    compare("p256_square", |out, a, _| kernel::square(out, a));
}

#[test]
fn sums() {
    compare("p256_add", kernel::add);
    compare("p256_subtract", kernel::subtract);
    compare("p256_subtract_twice", kernel::subtract_twice);
    compare("p256_twice_subtract", kernel::twice_subtract);
    compare("p256_three_times_sum", kernel::three_times_sum);
}
