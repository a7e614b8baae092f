//! Header, compact-bits and work code on real Bitcoin headers, with Bitcoin's own retarget rule.
#![allow(clippy::unwrap_used)]

use super::*;
use alloy_primitives::hex;

fn vectors(file: &str) -> Option<Vec<u8>> {
    let Ok(vectors) = std::env::var("SYNOD_VECTORS") else {
        eprintln!("skipped: SYNOD_VECTORS is not set");
        return None;
    };
    Some(std::fs::read(format!("{vectors}/bitcoin/{file}")).unwrap())
}

/// Lines of (height, hex), without the title line of some tables.
fn table(file: &str) -> Option<Vec<(u64, Vec<u8>)>> {
    let text = String::from_utf8(vectors(file)?).unwrap();
    let rows = text.lines().filter_map(|line| line.split_once('\t'));
    Some(rows.filter_map(|(height, hex)| Some((height.parse().ok()?, hex::decode(hex).unwrap()))).collect())
}

fn bitcoin_limit() -> Target {
    Target::from_compact(0x1d00_ffff).unwrap()
}

fn header(bytes: &[u8]) -> HashedHeader {
    HashedHeader::new(Header::from_bytes(bytes.try_into().unwrap()))
}

/// Bitcoin's rule, on 2,015 intervals: `old · actual / 1209600` within bounds.
fn retargeted(old: Target, first: u32, last: u32) -> u32 {
    let actual = (i64::from(last) - i64::from(first)).clamp(302_400, 4_838_400) as u64;
    let number = old.to_number() * U256::from(actual) / U256::from(1_209_600);
    Target::at_least_one(number.min(bitcoin_limit().to_number())).to_compact()
}

#[test]
fn pow_1_every_retarget_of_bitcoin_is_met() {
    let Some(rows) = table("retarget_boundary_headers.tsv") else { return };
    let mut retargets = 0;
    for (height, bytes) in &rows {
        let found = header(bytes);
        assert!(check_work(&found, bitcoin_limit()).is_ok(), "height {height}");
        assert_eq!(found.header().to_bytes().as_slice(), bytes.as_slice());
    }
    for period in rows.chunks(2).collect::<Vec<_>>().windows(2) {
        let ([(first_height, first), (_, last)], [(height, next), ..]) = (period[0], period[1]) else {
            panic!("headers come in pairs: a period's first and last")
        };
        assert_eq!(first_height + 2016, *height);
        let (first, last, next) = (header(first), header(last), header(next));
        assert_eq!(next.parent(), last.hash());
        let old = Target::from_compact(first.header().bits).unwrap();
        let bits = retargeted(old, first.header().time, last.header().time);
        assert_eq!(bits, next.header().bits, "height {height}");
        retargets += 1;
    }
    assert_eq!(retargets, 413);
}

#[test]
fn pow_3_two_real_periods_chain_up_and_pass_the_median_rule() {
    let Some(bytes) = vectors("headers_822528_826559.bin") else { return };
    let headers: Vec<_> = bytes.chunks(80).map(header).collect();
    assert_eq!(headers.len(), 4032);
    for pair in headers.windows(2) {
        assert_eq!(pair[1].parent(), pair[0].hash());
        assert!(check_work(&pair[1], bitcoin_limit()).is_ok());
    }
    for window in headers.windows(MEDIAN_SPAN + 1) {
        let times: Vec<u32> = window[..MEDIAN_SPAN].iter().rev().map(|header| header.header().time).collect();
        assert!(window[MEDIAN_SPAN].header().time > median_time(&times));
    }
    let old = Target::from_compact(headers[0].header().bits).unwrap();
    let bits = retargeted(old, headers[0].header().time, headers[2015].header().time);
    assert_eq!(bits, headers[2016].header().bits);
}

#[test]
fn pow_2_bitcoins_cumulative_work_is_met() {
    let (Some(rows), Some(headers)) = (table("chainwork.tsv"), table("retarget_boundary_headers.tsv")) else {
        return;
    };
    let mut checked = 0;
    for pair in rows.windows(2) {
        let [(height, below), (next, above)] = pair else { unreachable!("windows of two") };
        let Some((_, bytes)) = headers.iter().find(|(at, _)| at == next) else { continue };
        let blocks = U256::from(next - height);
        let number = |bytes: &Vec<u8>| U256::from_be_slice(bytes);
        // Within a period all targets are equal; the step over a boundary is one block of the new one.
        let work = work_of(header(bytes).header()).0;
        assert_eq!(number(above) - number(below), work * blocks, "height {next}");
        checked += 1;
    }
    assert!(checked > 800, "{checked}");
}

#[test]
fn pow_1_one_bit_more_and_the_work_is_gone() {
    let Some(rows) = table("retarget_boundary_headers.tsv") else { return };
    for (height, bytes) in rows.iter().step_by(40) {
        let mut spoilt = bytes.clone();
        spoilt[76] ^= 1;
        assert_eq!(
            check_work(&header(&spoilt), bitcoin_limit()),
            Err(HeaderError::NoWork),
            "height {height}"
        );
    }
}

#[test]
fn pow_3_the_median_is_of_eleven_and_the_higher_of_two() {
    assert_eq!(median_time(&[7]), 7);
    assert_eq!(median_time(&[1, 9]), 9);
    assert_eq!(median_time(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]), 6);
    assert_eq!(median_time(&[1, 1, 1, 1, 1, 5, 9, 9, 9, 9, 9, 9, 9, 9]), 5);
}

#[test]
fn pow_3_the_future_limit_is_inclusive_and_cannot_overflow() {
    assert!(!is_too_early(105, 100, 5));
    assert!(is_too_early(106, 100, 5));
    assert!(!is_too_early(u32::MAX, u64::MAX, u32::MAX));
}
