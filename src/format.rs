//! Numbers as people read them: three or four digits and a unit. Pure: no I/O.

/// A duration of `ns` as `812 ns`, `4.10 µs`, `12.5 ms`, `9.052 s`, `3m 07s`, `2h 05m`.
pub fn dur(ns: u64) -> String {
    dur_in(ns, false)
}

/// As [`dur`], with `us` for `µs` where `ascii`.
pub fn dur_in(ns: u64, ascii: bool) -> String {
    let micro = if ascii { "us" } else { "\u{b5}s" };
    match ns {
        0..=999 => format!("{ns} ns"),
        1_000..=999_499 => three(ns, 1_000, micro),
        999_500..=999_499_999 => three(ns, 1_000_000, "ms"),
        999_500_000..=59_949_999_999 => three(ns, 1_000_000_000, "s"),
        _ => {
            let s = ns.saturating_add(500_000_000) / 1_000_000_000;
            match s {
                0..=3599 => format!("{}m {:02}s", s / 60, s % 60),
                3600..=359_999 => format!("{}h {:02}m", s / 3600, s / 60 % 60),
                _ => format!("{}d {:02}h", s / 86_400, s / 3600 % 24),
            }
        }
    }
}

/// A duration of `ns` that is known to `precision` ns, in as many digits as that allows: `8.0 s`, `<100 ms`.
/// A precision of 0 is one to the ns.
pub fn dur_within(ns: u64, precision: u64, ascii: bool) -> String {
    if precision == 0 {
        return dur_in(ns, ascii);
    }
    if ns < precision {
        return format!("<{}", dur_in(precision, ascii).replace(".00", "").replace(".0", ""));
    }
    let rounded = ns.saturating_add(precision / 2) / precision * precision;
    let tenths = rounded.saturating_add(50_000_000) / 100_000_000;
    match (rounded, precision) {
        (1_000_000_000..60_000_000_000, 950_000_000..) => format!("{} s", (tenths + 5) / 10),
        (1_000_000_000..60_000_000_000, 50_000_000..) => format!("{}.{} s", tenths / 10, tenths % 10),
        _ => dur_in(rounded, ascii),
    }
}

fn three(ns: u64, unit: u64, name: &str) -> String {
    // Rounded to the digits shown first: 9.995 is 10.0, 99.96 is 100.
    let hundredths = (ns * 100 + unit / 2) / unit;
    let tenths = (ns * 10 + unit / 2) / unit;
    if tenths >= 1000 {
        format!("{} {name}", (ns + unit / 2) / unit)
    } else if hundredths >= 1000 {
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    } else {
        format!("{}.{:02} {name}", hundredths / 100, hundredths % 100)
    }
}

/// Seconds to the millisecond, as the logs of old say it: `2.005 s`.
pub fn seconds(ns: u64) -> String {
    let ms = ns.saturating_add(500_000) / 1_000_000;
    format!("{}.{:03} s", ms / 1000, ms % 1000)
}

/// Seconds as [`seconds`] has them, in no more digits than are known to `precision` ns.
pub fn seconds_within(ns: u64, precision: u64) -> String {
    let digits = match precision {
        0..=5_000_000 => return seconds(ns),
        5_000_001..=50_000_000 => 2,
        50_000_001..=500_000_000 => 1,
        _ => 0,
    };
    format!("{:.digits$} s", ns as f64 / 1e9)
}

/// `text` without what would move a terminal's cursor or change its colours: a recording may come from anyone.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A command and its arguments as they would be typed at a shell, in one line.
pub fn shell(words: &[String]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "%+,-./:=@_".contains(c);
    let quoted = |word: &String| match !word.is_empty() && word.chars().all(plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    printable(&words.iter().map(quoted).collect::<Vec<_>>().join(" "))
}

/// The same line by line.
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// A duration of `ns` known to `precision` ns, or a dash where there is none.
pub fn dur_or_dash(ns: Option<u64>, precision: u64) -> String {
    ns.map_or_else(|| "-".into(), |ns| dur_within(ns, precision, false))
}

/// A count as `950`, `12.3k`, `441k`, `1.05M`: three digits, never more than five characters below 10^15.
pub fn count(n: u64) -> String {
    if n <= 9_999 {
        return n.to_string();
    }
    let units = [(1_000, 'k'), (1_000_000, 'M'), (1_000_000_000, 'G'), (1_000_000_000_000, 'T')];
    let in_units = |(unit, letter): (u64, char)| {
        [2, 1, 0].into_iter().find_map(|digits| {
            let last = unit / 10u64.pow(digits);
            let rounded = n.saturating_add(last / 2) / last;
            let (whole, part) = (rounded / 10u64.pow(digits), rounded % 10u64.pow(digits));
            match digits {
                _ if rounded > 999 => None,
                0 => Some(format!("{whole}{letter}")),
                digits => Some(format!("{whole}.{part:0width$}{letter}", width = digits as usize)),
            }
        })
    };
    units.into_iter().find_map(in_units).unwrap_or_else(|| format!("{}T", n / 1_000_000_000_000))
}

/// A rate a second as `0.99`, `42.1`, `1234`, `1.05M`.
pub fn rate(per_s: f64) -> String {
    if per_s < 9.995 {
        format!("{per_s:.2}")
    } else if per_s < 999.95 {
        format!("{per_s:.1}")
    } else {
        count(per_s.round() as u64)
    }
}

/// A share (0 to 1) as `18 %`, `99.8 %`.
pub fn percent(share: f64) -> String {
    let p = share * 100.0;
    if p > 99.0 && p < 99.995 || p > 0.0 && p < 9.95 { format!("{p:.1} %") } else { format!("{p:.0} %") }
}

/// Hours, minutes and seconds as `00:01:23`.
pub fn clock(ns: u64) -> String {
    let s = ns / 1_000_000_000;
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_turn_over_where_they_should() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 \u{b5}s"),
            (9_994, "9.99 \u{b5}s"),
            (9_995, "10.0 \u{b5}s"),
            (999_499, "999 \u{b5}s"),
            (1_000_000, "1.00 ms"),
            (99_960_000, "100 ms"),
            (999_000_000, "999 ms"),
            (999_600_000, "1.00 s"),
            (999_600, "1.00 ms"),
            (1_000_000_000, "1.00 s"),
            (9_052_000_000, "9.05 s"),
            (59_900_000_000, "59.9 s"),
            (59_960_000_000, "1m 00s"),
            (60_000_000_000, "1m 00s"),
            (3_600_000_000_000, "1h 00m"),
            (200_000_000_000_000, "55h 33m"),
        ];
        for (ns, text) in cases {
            assert_eq!(dur(ns), text, "{ns}");
        }
    }

    #[test]
    fn no_digit_is_shown_that_is_not_known() {
        let tenth = 100_000_000;
        let cases = [
            (8_030_000_000, tenth, "8.0 s"),
            (8_060_000_000, tenth, "8.1 s"),
            (830_000_000, tenth, "800 ms"),
            (30_000_000, tenth, "<100 ms"),
            (30_000_000, 1_000_000_000, "<1 s"),
            (8_030_000_000, 1_000_000_000, "8 s"),
            (8_031_000_000, 10_000_000, "8.03 s"),
            (90_000_000_000, tenth, "1m 30s"),
            (8_030, 0, "8.03 \u{b5}s"),
        ];
        for (ns, precision, text) in cases {
            assert_eq!(dur_within(ns, precision, false), text, "{ns}");
        }
        assert_eq!(seconds_within(2_005_000_000, 0), "2.005 s");
        assert_eq!(seconds_within(2_065_000_000, tenth), "2.1 s");
        assert_eq!(seconds_within(2_065_000_000, 20_000_000), "2.06 s");
    }

    #[test]
    fn other_numbers() {
        assert_eq!(seconds(2_005_000_000), "2.005 s");
        assert_eq!(count(12_345), "12.3k");
        assert_eq!(count(999_999), "1.00M");
        assert_eq!(count(1_050_000), "1.05M");
        assert_eq!(count(9_999), "9999");
        assert_eq!(count(10_000), "10.0k");
        assert_eq!(count(99_949), "99.9k");
        assert_eq!(count(99_950), "100k");
        assert_eq!(count(440_912), "441k");
        assert_eq!(count(999_499), "999k");
        assert_eq!(count(999_500), "1.00M");
        assert_eq!(count(12_345_678), "12.3M");
        assert_eq!(count(78_000_000_000), "78.0G");
        assert_eq!(count(u64::MAX), "18446744T");
        // Tables leave so much room for one.
        let edges = (1..15).flat_map(|e| [10u64.pow(e) - 1, 10u64.pow(e), 10u64.pow(e) / 2 * 3]);
        assert!(edges.map(count).all(|text| text.len() <= 5));
        assert_eq!(rate(0.993), "0.99");
        assert_eq!(rate(1_050_000.0), "1.05M");
        assert_eq!(percent(0.998), "99.8 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(clock(83_000_000_000), "00:01:23");
        let words = ["sh", "-c", "echo \"it's\"\n", ""].map(String::from);
        assert_eq!(shell(&words), "sh -c 'echo \"it'\\''s\"?' ''");
    }
}
