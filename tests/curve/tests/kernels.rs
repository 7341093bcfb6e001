//! Each kernel in assembly computes what its twin in Rust computes, on random limbs and on limbs at
//! the ends of their range, and takes the same path whatever they are.

use curve_tests::{Argument, Program, Random};
use p256_lx106::kernel::{self, COUNT, Limbs};

/// Limbs in range: each from a few kinds.
fn limbs(random: &mut Random) -> Limbs {
    let kind = random.word() % 6;
    let half = |i: usize, random: &mut Random| -> i16 {
        let any = random.word();
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
    let mut random = Random(name.len() as u64);
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
