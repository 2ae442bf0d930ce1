//! The table: what was measured, its spread, its target, whether it was met.

/// What a figure should be.
#[derive(Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// For the record.
    None,
}

/// The rows so far.
pub struct Rows {
    /// How many pairs, or runs, a row has.
    pub pairs: usize,
    lines: Vec<String>,
}

impl Rows {
    pub fn new(pairs: usize) -> Self {
        Self { pairs: pairs.max(1), lines: Vec::new() }
    }

    /// The median of ratios of what `pair` gives, at least as many as there are pairs. It runs its second side first: the
    /// first one is compared with the second one before and after it, for machines grow faster and slower.
    pub fn ratio(&mut self, what: &str, target: Target, least: usize, mut pair: impl FnMut() -> (f64, f64)) {
        let mut all: Vec<(f64, f64)> = (0..self.pairs.max(least)).map(|_| pair()).collect();
        all.push((f64::NAN, pair().1));
        let compare = |pair: &[(f64, f64)]| pair[0].0 / ((pair[0].1 + pair[1].1) / 2.0);
        let mut ratios: Vec<f64> = all.windows(2).map(compare).collect();
        self.figure(what, target, "", &mut ratios);
    }

    /// The median of what was measured several times.
    pub fn figure(&mut self, what: &str, target: Target, unit: &str, values: &mut [f64]) {
        let (low, middle, high) = spread(values);
        let (target, met) = match target {
            Target::AtLeast(least) => (format!("≥ {least}"), Some(middle >= least)),
            Target::AtMost(most) => (format!("≤ {most}"), Some(middle <= most)),
            Target::None => ("-".into(), None),
        };
        let met = met.map_or("-", |met| if met { "met" } else { "**missed**" });
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        let range = if values.len() > 1 { format!("{} - {}", plain(low), plain(high)) } else { "-".into() };
        self.line(format!("| {what} | {}{unit} | {range} | {target} | {met} |", plain(middle)));
    }

    /// A row that could not be measured, and why.
    pub fn skipped(&mut self, what: &str, why: &str) {
        self.line(format!("| {what} | skipped: {why} | - | - | - |"));
    }

    fn line(&mut self, line: String) {
        // So that whoever waits sees that it goes on.
        eprintln!("{line}");
        self.lines.push(line);
    }

    pub fn print(&self) {
        println!("\n| what | median of {} or more | lowest - highest | target | |\n|---|---|---|---|---|", self.pairs);
        self.lines.iter().for_each(|line| println!("{line}"));
    }
}

fn plain(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        v if v < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

/// Lowest, median, highest.
fn spread(values: &mut [f64]) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}
