//! The written forms of values: durations, shares, seeds.

/// Units of a duration, the longest names first, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// The longest duration, in milliseconds: ten years. Every sum of a few of
/// them is far from the end of 64 bits.
const DURATION_MS_MAX: u64 = 3_660 * 86_400_000;

/// Most seeds one file or command may name: a slip of the pen must not fill
/// the memory.
pub const SEEDS_MAX: usize = 100_000;

/// Milliseconds of a whole number with a unit: `250ms`, `15s`, `3m`, `12h`,
/// `20d`. None for anything else, and above ten years.
pub fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let ms = number.parse::<u64>().ok()?.checked_mul(*unit_ms)?;
    (ms <= DURATION_MS_MAX).then_some(ms)
}

/// Parts in a million of a percentage with at most four decimals: `5%`,
/// `0.25%`. None for anything else, and above 100 %.
pub(crate) fn share_ppm(text: &str) -> Option<u64> {
    let number = text.strip_suffix('%')?;
    let (whole, decimals) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, decimals)) => (whole, decimals),
        None => (number, ""),
    };
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || decimals.len() > 4 || !plain(whole) || !plain(decimals) {
        return None;
    }
    let ppm = format!("{whole}{decimals:0<4}").parse().ok()?;
    (ppm <= 1_000_000).then_some(ppm)
}

/// Seeds from the first to the last, both included: `1..50`. A single number
/// stands for itself. None for anything else, and for more than [`SEEDS_MAX`].
pub fn seeds(text: &str) -> Option<Vec<u64>> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    let count = usize::try_from(last.checked_sub(first)?).ok()?;
    (count < SEEDS_MAX).then(|| (first..=last).collect())
}

/// The known name that somebody may have meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (edits(name, known), known))
        .filter(|(edits, known)| *edits <= (name.len().max(known.len()) / 3).max(2))
        .min()
        .map(|(_, known)| known)
}

/// Letters to insert, remove or change to get from one name to the other.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, of_from) in from.chars().enumerate() {
        let mut corner = above;
        let mut left = above + 1;
        for (cell, of_to) in row.iter_mut().skip(1).zip(to.chars()) {
            let here = (corner + usize::from(of_from != of_to))
                .min(*cell + 1)
                .min(left + 1);
            corner = *cell;
            left = here;
            *cell = here;
        }
        if let Some(first) = row.first_mut() {
            *first = above + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_nothing_else() {
        assert_eq!(duration_ms("250ms"), Some(250));
        assert_eq!(duration_ms("15s"), Some(15_000));
        assert_eq!(duration_ms("20d"), Some(1_728_000_000));
        for wrong in [
            "", "15", "s", "1.5s", "-1s", "15 s", "15sec", "9999999d", "1é",
        ] {
            assert_eq!(duration_ms(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn shares_are_exact() {
        assert_eq!(share_ppm("5%"), Some(50_000));
        assert_eq!(share_ppm("0.0001%"), Some(1));
        assert_eq!(share_ppm("100%"), Some(1_000_000));
        for wrong in ["5", "%", ".5%", "5.%", "101%", "0.00001%", "-1%", "1e2%"] {
            assert_eq!(share_ppm(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn seeds_include_both_ends_and_are_bounded() {
        assert_eq!(seeds("3..5"), Some(vec![3, 4, 5]));
        assert_eq!(seeds("7"), Some(vec![7]));
        for wrong in ["", "..", "5..3", "1..", "a..b", "0..18446744073709551615"] {
            assert_eq!(seeds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        let known = || ["members", "duration", "seeds"].into_iter();
        assert_eq!(nearest("member", known()), Some("members"));
        assert_eq!(nearest("duratoin", known()), Some("duration"));
        assert_eq!(nearest("colour", known()), None);
    }
}
