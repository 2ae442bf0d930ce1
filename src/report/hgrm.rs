//! Histograms in HdrHistogram's percentile form, which its plotters read: values in ms.

use crate::model::{Latency, Locks};
use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Steps a halving of the distance to 100 %, as HdrHistogram's own tools have it.
const TICKS: u32 = 5;
const NS_PER_MS: f64 = 1e6;

/// The files in `folder`.
pub fn files(folder: &Path) -> [PathBuf; 3] {
    ["wait", "hold", "handoff"].map(|name| folder.join(format!("{name}.hgrm")))
}

/// Makes the folder if it is missing and sees that nothing of the user's will be overwritten.
///
/// # Errors
/// Which file is there already, or why the folder cannot be made.
pub fn prepare(folder: &Path, force: bool) -> Result<()> {
    let shown = folder.display();
    if folder.exists() && !folder.is_dir() {
        bail!("cannot write --hgrm into {shown}: it is no folder; name one, or one that does not exist yet");
    }
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {shown} for --hgrm: name one where you may write"))?;
    if let Some(there) = files(folder).iter().find(|f| f.exists() && !force) {
        bail!("{} exists and is left as it is: name another folder, or add --force to overwrite it", there.display());
    }
    Ok(())
}

/// Writes `wait.hgrm`, `hold.hgrm` and `handoff.hgrm`.
///
/// # Errors
/// Which file cannot be written, and why.
pub fn write(folder: &Path, locks: &Locks) -> Result<()> {
    let model = locks.first();
    let all = [model.wait().all(), model.hold().all(), model.handoff().all()];
    for (file, latency) in files(folder).iter().zip(all) {
        std::fs::write(file, text(&latency)?).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// One distribution.
fn text(latency: &Latency) -> Result<String> {
    let mut histogram = Histogram::<u64>::new(3).context("cannot make a histogram")?;
    for (ns, count) in latency.counts() {
        histogram.record_n(ns, count).context("cannot count a duration")?;
    }
    let ms = |ns: f64| ns / NS_PER_MS;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS) {
        total += step.count_since_last_iteration();
        let (value, share) = (ms(step.value_iterated_to() as f64), step.quantile_iterated_to());
        let _ = match share < 1.0 {
            true => writeln!(out, "{value:>12.6} {share:>2.12} {total:>10} {:>14.2}", 1.0 / (1.0 - share)),
            false => writeln!(out, "{value:>12.6} {share:>2.12} {total:>10} {:>14}", "inf"),
        };
    }
    let (mean, spread) = (ms(histogram.mean()), ms(histogram.stdev()));
    let _ = writeln!(out, "#[Mean    = {mean:>12.6}, StdDeviation   = {spread:>12.6}]");
    let _ =
        writeln!(out, "#[Max     = {:>12.6}, Total count    = {:>12}]", ms(histogram.max() as f64), histogram.len());
    let _ = writeln!(out, "#[Buckets = {:>12}, SubBuckets     = {:>12}]", histogram.buckets(), 2048);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_the_plotters_want_it() {
        let mut latency = Latency::default();
        (1..=1000).for_each(|ms| latency.record(ms * 1_000_000));
        let text = text(&latency).unwrap();
        assert!(text.starts_with("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"));
        let rows: Vec<Vec<f64>> = text
            .lines()
            .skip(2)
            .take_while(|l| !l.starts_with('#'))
            .map(|l| l.split_whitespace().map(|w| w.parse().unwrap()).collect())
            .collect();
        assert!(rows.iter().all(|r| r.len() == 4) && rows.windows(2).all(|w| w[0][0] <= w[1][0] && w[0][2] <= w[1][2]));
        let half = rows.iter().find(|r| r[1] >= 0.5).unwrap();
        assert!((half[0] - 500.0).abs() < 1.0 && half[2] >= 500.0, "{half:?}");
        assert_eq!(rows.last().unwrap()[2], 1000.0);
        assert!(text.contains("Total count    =         1000]"));
    }
}
