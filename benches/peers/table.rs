//! Medians of all runs as Markdown: engines side by side, with what Logwood has beside the best of the others.

use std::fmt::Write as _;

use crate::engine::Engine;
use crate::measure::Figures;
use crate::runs::Measured;
use crate::workload::{Kind, WORKLOADS, Workload};

/// Which of two figures is the better one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    Less,
    More,
}

/// Some figure of a workload, and how it is written.
struct Column {
    figure: fn(&Figures) -> Option<f64>,
    write: fn(f64) -> String,
    better: Better,
}

const CPU: Column = Column { figure: cpu_us, write: number, better: Better::Less };
const SPEED: Column = Column { figure: ops_a_second, write: count, better: Better::More };

fn per_op(figures: &Figures, all: u64) -> Option<f64> {
    (figures.ops > 0).then(|| all as f64 / figures.ops as f64)
}

fn cpu_us(figures: &Figures) -> Option<f64> {
    per_op(figures, figures.cpu_ns).map(|ns| ns / 1e3)
}

fn ops_a_second(figures: &Figures) -> Option<f64> {
    per_op(figures, figures.wall_ns).map(|ns| 1e9 / ns)
}

fn value(figures: &Figures) -> Option<f64> {
    figures.value
}

fn latency(figures: &Figures, which: fn(&crate::measure::Latency) -> u64) -> Option<f64> {
    figures.latency.as_ref().map(|latency| which(latency) as f64 / 1e3)
}

/// The tables of all that was measured.
pub(crate) fn markdown(measured: &[Measured]) -> String {
    let tables = Tables { measured, engines: engines(measured) };
    let mut text = String::new();
    tables.costs(&mut text);
    tables.commits(&mut text);
    tables.traffic(&mut text);
    tables.values(&mut text);
    tables.errors(&mut text);
    text
}

/// Those that were measured, ours first.
fn engines(measured: &[Measured]) -> Vec<String> {
    let names = Engine::ALL.iter().map(ToString::to_string).chain(["RocksDB".to_owned()]);
    let mut found: Vec<String> =
        names.filter(|name| measured.iter().any(|one| one.engine == *name)).collect();
    found.dedup();
    found
}

struct Tables<'a> {
    measured: &'a [Measured],
    engines: Vec<String>,
}

impl Tables<'_> {
    /// The median of a figure over the runs; none if any of them failed.
    fn median(&self, workload: &Workload, engine: &str, figure: fn(&Figures) -> Option<f64>) -> Option<f64> {
        let runs =
            self.measured.iter().filter(|one| one.engine == engine && one.outcome.workload == workload.name);
        let mut found: Vec<f64> =
            runs.map(|one| one.outcome.figures.as_ref().and_then(figure)).collect::<Option<_>>()?;
        found.sort_by(f64::total_cmp);
        let middle = found.len() / 2;
        match found.len() {
            0 => None,
            odd if odd % 2 == 1 => Some(found[middle]),
            _ => Some(f64::midpoint(found[middle - 1], found[middle])),
        }
    }

    fn cells(&self, workload: &Workload, column: &Column) -> Vec<Option<f64>> {
        self.engines.iter().map(|engine| self.median(workload, engine, column.figure)).collect()
    }

    fn is_there(&self, workload: &Workload) -> bool {
        self.measured.iter().any(|one| one.outcome.workload == workload.name)
    }

    /// Our figure over the best peer's, and who that is.
    fn ratio(&self, cells: &[Option<f64>], better: Better) -> String {
        let own = self.engines.iter().position(|name| *name == Engine::Logwood.to_string());
        let Some(own) = own.and_then(|own| cells[own]) else { return "–".to_owned() };
        let peers = self.engines.iter().zip(cells).filter(|(name, _)| **name != Engine::Logwood.to_string());
        let peers = peers.filter_map(|(name, cell)| cell.map(|cell| (name, cell)));
        let order = |a: &(&String, f64), b: &(&String, f64)| a.1.total_cmp(&b.1);
        let best = if better == Better::Less { peers.min_by(order) } else { peers.max_by(order) };
        best.map_or_else(
            || "–".to_owned(),
            |(name, best)| {
                if best == 0.0 { format!("{name}: 0") } else { format!("{:.2} {name}", own / best) }
            },
        )
    }

    fn head(&self, text: &mut String, title: &str, last: &[&str]) {
        let names: Vec<&str> = self.engines.iter().map(String::as_str).chain(last.iter().copied()).collect();
        let _ = writeln!(text, "\n| {title} | {} |", names.join(" | "));
        let _ = writeln!(text, "|{}", " --- |".repeat(1 + names.len()));
    }

    fn of_kind(&self, kinds: &[Kind]) -> impl Iterator<Item = &'static Workload> {
        let all = WORKLOADS.iter().filter(|workload| kinds.contains(&workload.kind));
        all.filter(|workload| self.is_there(workload))
    }

    fn costs(&self, text: &mut String) {
        self.head(
            text,
            "CPU µs an operation (operations a second)",
            &["CPU / best peer", "rate / best peer"],
        );
        for workload in self.of_kind(&[Kind::Cost, Kind::Commits, Kind::Rate]) {
            self.pairs(text, workload, [&CPU, &SPEED]);
        }
    }

    fn commits(&self, text: &mut String) {
        self.head(text, "µs a commit: p50 / p99 / p99.9 / max", &["max / best peer"]);
        for workload in WORKLOADS.iter().filter(|workload| self.is_there(workload)) {
            let all: Vec<Vec<Option<f64>>> = [
                (|one| latency(one, |times| times.p50)) as fn(&Figures) -> Option<f64>,
                |one| latency(one, |times| times.p99),
                |one| latency(one, |times| times.p999),
                |one| latency(one, |times| times.max),
            ]
            .into_iter()
            .map(|figure| self.cells(workload, &Column { figure, write: number, better: Better::Less }))
            .collect();
            if all[0].iter().all(Option::is_none) {
                continue;
            }
            let cell = |engine: usize| {
                all.iter().map(|cells| cells[engine].map_or_else(|| "–".into(), number)).collect::<Vec<_>>()
            };
            let cells: Vec<String> = (0..self.engines.len()).map(|engine| cell(engine).join(" / ")).collect();
            let ratio = self.ratio(&all[3], Better::Less);
            let _ = writeln!(text, "| {} | {} | {ratio} |", workload.title, cells.join(" | "));
        }
        self.head(text, "rows a sync, where the engine counts them", &[]);
        for workload in self.of_kind(&[Kind::Commits]) {
            self.plain(
                text,
                workload,
                &Column { figure: rows_a_sync, write: number, better: Better::More },
                false,
            );
        }
    }

    fn traffic(&self, text: &mut String) {
        self.head(text, "bytes on the disk an operation, of the whole machine", &["/ best peer"]);
        let column = Column { figure: |one| per_op(one, one.disk_bytes), write: count, better: Better::Less };
        for workload in self.of_kind(&[Kind::Commits]) {
            self.plain(text, workload, &column, true);
        }
        self.head(text, "bytes of pages made dirty an operation", &["/ best peer"]);
        let column =
            Column { figure: |one| per_op(one, one.written_bytes), write: count, better: Better::Less };
        for workload in self.of_kind(&[Kind::Cost, Kind::Commits]) {
            self.plain(text, workload, &column, true);
        }
        self.head(text, "ms until background work had settled", &["/ best peer"]);
        let column =
            Column { figure: |one| Some(one.settle_ns as f64 / 1e6), write: number, better: Better::Less };
        for workload in self.of_kind(&[Kind::Cost, Kind::Commits]) {
            self.plain(text, workload, &column, true);
        }
    }

    fn values(&self, text: &mut String) {
        self.head(text, "MiB", &["/ best peer"]);
        for workload in self.of_kind(&[Kind::Mib]) {
            self.plain(text, workload, &Column { figure: value, write: number, better: Better::Less }, true);
        }
        self.head(text, "ms by the clock (of CPU)", &["clock / best peer", "CPU / best peer"]);
        for workload in self.of_kind(&[Kind::Ms]) {
            let clock = Column { figure: value, write: number, better: Better::Less };
            let cpu = Column { figure: |one| Some(one.cpu_ns as f64 / 1e6), ..clock };
            self.pairs(text, workload, [&clock, &cpu]);
        }
    }

    /// A row of two figures, the second in brackets.
    fn pairs(&self, text: &mut String, workload: &Workload, [first, second]: [&Column; 2]) {
        let (one, two) = (self.cells(workload, first), self.cells(workload, second));
        let cells = one.iter().zip(&two).map(|(one, two)| match (one, two) {
            (Some(one), Some(two)) => format!("{} ({})", (first.write)(*one), (second.write)(*two)),
            _ => "failed".to_owned(),
        });
        let cells: Vec<String> = cells.collect();
        let ratios = [self.ratio(&one, first.better), self.ratio(&two, second.better)];
        let _ = writeln!(text, "| {} | {} | {} |", workload.title, cells.join(" | "), ratios.join(" | "));
    }

    /// A row of one figure; left out where all are zero or missing.
    fn plain(&self, text: &mut String, workload: &Workload, column: &Column, with_ratio: bool) {
        let cells = self.cells(workload, column);
        if cells.iter().all(|cell| cell.is_none_or(|cell| cell == 0.0)) {
            return;
        }
        let written: Vec<String> =
            cells.iter().map(|cell| cell.map_or_else(|| "–".to_owned(), column.write)).collect();
        let ratio =
            if with_ratio { format!(" {} |", self.ratio(&cells, column.better)) } else { String::new() };
        let _ = writeln!(text, "| {} | {} |{ratio}", workload.title, written.join(" | "));
    }

    fn errors(&self, text: &mut String) {
        for one in self.measured {
            if let Some(error) = &one.outcome.error {
                let _ = writeln!(
                    text,
                    "\nFailed: {}, {}, run {}: {error}",
                    one.engine, one.outcome.workload, one.run
                );
            }
        }
    }
}

fn rows_a_sync(figures: &Figures) -> Option<f64> {
    figures.syncs.filter(|syncs| *syncs > 0).map(|syncs| figures.ops as f64 / syncs as f64)
}

/// With three digits, or all that stand before the point.
fn number(value: f64) -> String {
    match value.abs() {
        small if small < 0.995 => format!("{value:.2}"),
        small if small < 9.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

fn count(value: f64) -> String {
    match value {
        large if large >= 999_500.0 => format!("{:.2} M", value / 1e6),
        middle if middle >= 9_950.0 => format!("{:.0} k", value / 1e3),
        small if small >= 995.0 => format!("{:.1} k", value / 1e3),
        _ => format!("{value:.0}"),
    }
}
