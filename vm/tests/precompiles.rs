//! EVM-14: the precompiled contracts against revm's, on inputs that mean something to each.

#![allow(clippy::unwrap_used)]

mod fuzz;

use alloy_primitives::{Address, U256, hex};
use fuzz::Random;
use revm::precompile::{PrecompileStatus, Precompiles};
use synod_vm::precompile::CANCUN;

/// Success, gas used and output.
type Answer = (bool, u64, Vec<u8>);

fn ours(number: u8, input: &[u8], gas: u64) -> Answer {
    let mut output = Vec::new();
    match CANCUN[number as usize - 1](input, gas, &mut output) {
        Ok(left) => (true, gas - left, output),
        Err(_) => (false, gas, Vec::new()),
    }
}

fn theirs(number: u8, input: &[u8], gas: u64) -> Answer {
    let precompile = Precompiles::cancun().get(&Address::with_last_byte(number)).unwrap();
    let answer = precompile.execute(input, gas, 0).unwrap();
    match answer.status {
        PrecompileStatus::Success => (true, answer.gas_used, answer.bytes.to_vec()),
        _ => (false, gas, Vec::new()),
    }
}

fn check(number: u8, input: &[u8]) -> Answer {
    let mut last = None;
    for gas in [10_000_000, 45_000, 3_000, 149, 0] {
        let answer = ours(number, input, gas);
        assert_eq!(answer, theirs(number, input, gas), "{number} {} {gas}", hex::encode(input));
        last.get_or_insert(answer);
    }
    last.unwrap()
}

/// Checks `count` random inputs, each also cut short and with one bit changed; returns how many succeed.
fn check_many(number: u8, count: u64, make: impl Fn(&mut Random) -> Vec<u8>) -> u64 {
    let random = &mut Random::new(u64::from(number));
    let mut succeeded = 0;
    for _ in 0..count {
        let mut input = make(random);
        let (success, _, output) = check(number, &input);
        succeeded += u64::from(success && !output.is_empty());
        if input.is_empty() {
            continue;
        }
        let at = random.below(input.len() as u64) as usize;
        input[at] ^= 1 << random.below(8);
        check(number, &input);
        input.truncate(at);
        check(number, &input);
    }
    succeeded
}

fn words(words: &[U256]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes::<32>()).collect()
}

fn bytes(random: &mut Random, count: u64) -> Vec<u8> {
    (0..count).map(|_| random.next() as u8).collect()
}

#[test]
fn evm_14_signatures_recover_alike() {
    let succeeded = check_many(1, 300, |random| {
        let v = U256::from(27 + random.below(2));
        let [hash, r, s] = [0; 3].map(|_| U256::from_limbs([0; 4].map(|_| random.next())));
        words(&[hash, v, r, s])
    });
    assert!(succeeded > 50, "{succeeded} recover");
}

#[test]
fn evm_14_hashes_and_the_identity_agree() {
    for number in [2, 3, 4] {
        let succeeded = check_many(number, 100, |random| {
            let count = random.below(200);
            bytes(random, count)
        });
        assert!(succeeded > 80);
    }
}

#[test]
fn evm_14_modular_powers_agree() {
    let succeeded = check_many(5, 400, |random| {
        let bound = random.choose(&[5, 33, 70]);
        let lengths = [0; 3].map(|_| random.below(bound));
        let mut input = words(&lengths.map(U256::from));
        let count = lengths.iter().sum();
        input.extend(bytes(random, count));
        // Even moduli, and small ones, take ways of their own.
        if let (true, Some(last)) = (random.one_in(2), input.last_mut()) {
            *last &= 0xf0;
        }
        input
    });
    assert!(succeeded > 200);
}

/// The field's modulus.
const P: &str = "21888242871839275222246405745257275088696311157297823662689037894645226208583";

/// A multiple of the generator.
fn point(random: &mut Random) -> Vec<u8> {
    let factor = random.word();
    ours(7, &words(&[U256::from(1), U256::from(2), factor]), 6_000).2
}

#[test]
fn evm_14_sums_and_multiples_on_bn254_agree() {
    assert!(check_many(6, 100, |random| [point(random), point(random)].concat()) == 100);
    let multiples = check_many(7, 100, |random| {
        let point = point(random);
        [point, random.word().to_be_bytes_vec()].concat()
    });
    assert_eq!(multiples, 100);
}

#[test]
fn evm_14_pairings_agree() {
    let generator: Vec<U256> = [
        "11559732032986387107991004021392285783925812861821192530917403151452391805634",
        "10857046999023057135944570762232829481370756359578518086990519993285655852781",
        "4082367875863433681332203403145435568316851327593401208105741076214120093531",
        "8495653923123431417604973247489272438418190587263600148770280649306958101930",
    ]
    .map(|word| word.parse().unwrap())
    .to_vec();
    let generator = words(&generator);
    let modulus: U256 = P.parse().unwrap();
    let mut ones = 0;
    check_many(8, 12, |random| {
        let a = point(random);
        let y = U256::from_be_slice(&a[32..]);
        let negative = [&a[..32], &(modulus - y).to_be_bytes::<32>()[..]].concat();
        let b = if random.one_in(2) || y.is_zero() { point(random) } else { negative };
        [&a[..], &generator, &b, &generator].concat()
    });
    let one = U256::from(1).to_be_bytes_vec();
    for seed in 0..4 {
        let a = point(&mut Random::new(seed));
        let y = U256::from_be_slice(&a[32..]);
        if !y.is_zero() {
            let negative = [&a[..32], &(modulus - y).to_be_bytes::<32>()[..]].concat();
            ones += u32::from(check(8, &[&a[..], &generator, &negative, &generator].concat()).2 == one);
        }
    }
    assert!(ones > 0, "a point and its opposite pair to one");
}

#[test]
fn evm_14_blake2_agrees() {
    let succeeded = check_many(9, 200, |random| {
        let mut input = (random.below(40) as u32).to_be_bytes().to_vec();
        input.extend(bytes(random, 208));
        input.push(random.below(2) as u8);
        input
    });
    assert_eq!(succeeded, 200);
}

/// The example that go-ethereum and the EIP's tests use, and changes to it.
#[test]
fn evm_14_point_evaluations_agree() {
    let input = hex!(
        "01e798154708fe7789429634053cbf9f99b619f9f084048927333fce637f549b"
        "564c0a11a0f704f4fc3e8acfe0f8245f0ad1347b378fbf96e206da11a5d36306"
        "24d25032e67a7e6a4910df5834b8fe70e6bcfeeac0352434196bdf4b2485d5a1"
        "8f59a8d2a1a625a17f3fea0fe5eb8c896db3764f3185481bc22f91b4aaffcca25f26936857bc3a7c2539ea8ec3a952b7"
        "873033e038326e87ed3e1276fd140253fa08e9fc25fb2d9a98527fc22a2c9612fbeafdad446cbc7bcdbdcd780af2c16a"
    );
    let succeeded = check_many(10, 6, |_| input.to_vec());
    assert_eq!(succeeded, 6, "the example stands");
}
