//! How fast records are decoded, folded and drawn, on one core: `cargo bench --bench fold`.
#![allow(missing_docs, clippy::expect_used)]

mod support;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use flockmon::model::Locks;
use std::hint::black_box;
use std::io::sink;
use std::time::Duration;
use support::{Screen, Traffic, model, populated};

const RECORDS: usize = 400_000;

fn records(c: &mut Criterion) {
    let mut group = c.benchmark_group("records");
    for workers in [10, 1000] {
        let traffic = Traffic::new(workers, RECORDS);
        group.throughput(Throughput::Elements(traffic.records as u64));
        group.bench_function(format!("decode, {workers} workers"), |b| {
            b.iter(|| traffic.decode(|events| _ = black_box(events)));
        });
        let rounds = traffic.rounds();
        let fold = |model: &mut Locks| rounds.iter().flatten().for_each(|event| model.apply(event));
        group.bench_function(format!("fold, {workers} workers"), |b| {
            b.iter_batched_ref(model, fold, BatchSize::PerIteration);
        });
        group.bench_function(format!("decode and fold, {workers} workers"), |b| {
            b.iter_batched_ref(model, |model| traffic.fold(model), BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// A frame after something happened everywhere: built, compared with the last one, written.
fn frame(c: &mut Criterion) {
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
