//! How fast records are decoded, folded and drawn, on one core: `cargo bench --bench fold`.
#![allow(missing_docs, clippy::expect_used)]

mod support;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flockmon::model::Locks;
use std::hint::black_box;
use std::io::sink;
use std::time::Duration;
use support::{Reader, Screen, Traffic, after_a_minute, model, populated};

/// Enough for a thousand workers to have their turn twice.
const RECORDS: usize = 2_600_000;

/// The second half of some traffic, with the first half already folded: pages and windows are there.
fn records(c: &mut Criterion) {
    let mut group = c.benchmark_group("records");
    for workers in [10, 1000] {
        let traffic = Traffic::in_stints(workers, RECORDS, 3);
        let mut folded = model();
        let (reader, left) = traffic.half(&mut folded);
        group.throughput(Throughput::Elements(left as u64));
        let decode = |reader: &mut Reader<'_>| while reader.round(|events| _ = black_box(events)) {};
        group.bench_function(format!("decode, {workers} workers"), |b| {
            b.iter_batched_ref(|| reader.clone(), decode, BatchSize::PerIteration);
        });
        let (mut rounds, mut rest) = (Vec::new(), reader.clone());
        while rest.round(|events| rounds.push(events.to_vec())) {}
        group.bench_function(format!("fold, {workers} workers"), |b| {
            let fold = |model: &mut Locks| rounds.iter().flatten().for_each(|event| model.apply(event));
            b.iter_batched_ref(|| folded.clone(), fold, BatchSize::PerIteration);
        });
        group.bench_function(format!("decode and fold, {workers} workers"), |b| {
            let both = |(reader, model): &mut (Reader<'_>, Locks)| reader.fold(model);
            b.iter_batched_ref(|| (reader.clone(), folded.clone()), both, BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// A frame after something happened everywhere: built, compared with the last one, written.
fn frame(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame of 120x36");
    let (mut model, mut screen) = (after_a_minute(10), Screen::new(sink(), 120, 36));
    group.bench_function("10 workers, a minute at zero hold", |b| {
        b.iter(|| {
            // So little that however many frames there are, the minute stays on the screen.
            model.advance(model.now() + 33_000);
            screen.draw(&model);
        });
    });
    group.finish();
    let mut group = c.benchmark_group("frame of 200x60");
    for workers in [10, 1000] {
        let mut model = populated(workers);
        let mut screen = Screen::new(sink(), 200, 60);
        for (name, key) in [("by worker", None), ("by p99", Some(flockmon::tui::Column::P99))] {
            screen.ui.sort = key.unwrap_or(screen.ui.sort);
            group.bench_function(format!("{workers} workers, {name}"), |b| {
                b.iter(|| {
                    model.advance(model.now() + 33_000_000);
                    screen.draw(&model);
                });
            });
        }
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = benches; config = short(); targets = records, frame }
criterion_main!(benches);
