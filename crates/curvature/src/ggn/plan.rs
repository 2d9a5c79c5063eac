//! What a Gram space will take, from shapes alone, and how its work is cut so that it fits into a
//! memory budget.

use std::fmt;
use std::ops::Range;

use vivit_autodiff::{ParamId, ParamMap, SitePlan, StreamShape, SweepPlan};

use super::seeds::Sizes;
use super::settings::Settings;
use crate::gram::{Target, cost_between};
use crate::{Contraction, ContractionOrder, Error, GramReport, GramRow};

/// The least memory that contractions are asked to work in before the sweep is cut.
const MIN_CONTRACTION_BYTES: usize = 1 << 20;

/// How the rows of V, (column, sample) pairs, are cut: every slice is swept with every other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slices {
    /// Slices of samples.
    pub samples: usize,
    /// Slices of columns.
    pub columns: usize,
}

impl Slices {
    /// All rows at once.
    pub const WHOLE: Slices = Slices { samples: 1, columns: 1 };

    /// Slices in all.
    pub fn count(self) -> usize {
        self.samples * self.columns
    }

    /// From the coarsest to the finest: samples are cut first, columns once every sample is alone.
    fn all(samples: usize, columns: usize) -> impl Iterator<Item = Slices> {
        let steps = |len: usize| {
            let mut next = 1;
            std::iter::from_fn(move || {
                let now = (next <= len).then_some(next)?;
                next = if now == len { len + 1 } else { (now + (now / 2).max(1)).min(len) };
                Some(now)
            })
        };
        let by_samples = steps(samples).map(|samples| Slices { samples, columns: 1 });
        by_samples.chain(steps(columns).skip(1).map(move |columns| Slices { samples, columns }))
    }

    /// The (columns, samples) of every slice, by position.
    pub(crate) fn of(self, columns: usize, samples: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let columns = cut(columns, self.columns);
        let slices = cut(samples, self.samples).into_iter();
        slices
            .flat_map(|samples| {
                columns.iter().map(move |columns| (columns.clone(), samples.clone()))
            })
            .collect()
    }
}

/// `0..len` in at most `parts` ranges of equal length, but for the last one.
pub(crate) fn cut(len: usize, parts: usize) -> Vec<Range<usize>> {
    let size = len.div_ceil(parts.max(1)).max(1);
    (0..len).step_by(size).map(|first| first..(first + size).min(len)).collect()
}

/// What a [`GramSpace`](crate::GramSpace) will take, known before any work. Displays as a table.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Plan {
    /// Bytes that may be in use at a time, those of the tape among them.
    pub budget: usize,
    /// Bytes that will be in use at a time at most, beyond what the program holds besides the tape.
    pub peak: usize,
    /// Bytes of the tape's values, held all through.
    pub tape: usize,
    /// Bytes of the Gram matrices and what goes with them.
    pub gram: usize,
    /// How the rows of V are cut.
    pub slices: Slices,
    /// How contractions are chosen, and the memory that each works in.
    pub contraction: Contraction,
    /// One pass of the largest slice, or of two slices where there are several.
    pub sweep: SweepPlan,
    /// Multiply-adds of all sweeps together.
    pub sweep_multiply_adds: f64,
    /// Every parameter's contraction, with its costs over all slices.
    pub report: GramReport,
    /// Multiply-adds of the eigenvalues: `2/3 R³` per group.
    pub eigen_multiply_adds: f64,
}

impl Plan {
    /// Multiply-adds of everything, two flops each.
    pub fn multiply_adds(&self) -> f64 {
        self.sweep_multiply_adds + self.report.multiply_adds() + self.eigen_multiply_adds
    }
}

/// A number of bytes, readable.
struct Bytes(usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            usize::MAX => f.pad("unlimited"),
            bytes if bytes < 10_000_000 => f.pad(&format!("{:.1} kB", bytes as f64 / 1e3)),
            bytes => f.pad(&format!("{:.1} MB", bytes as f64 / 1e6)),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Slices { samples, columns } = self.slices;
        writeln!(f, "peak memory    {} of {}", Bytes(self.peak), Bytes(self.budget))?;
        writeln!(f, "  tape         {}", Bytes(self.tape))?;
        writeln!(f, "  Gram space   {}", Bytes(self.gram))?;
        writeln!(f, "  sweep        {}", Bytes(self.sweep.peak))?;
        writeln!(f, "slices         {samples} of samples, {columns} of columns")?;
        writeln!(f, "multiply-adds  {:.3e}", self.multiply_adds())?;
        writeln!(f, "  sweep        {:.3e}", self.sweep_multiply_adds)?;
        writeln!(f, "  contraction  {:.3e}", self.report.multiply_adds())?;
        writeln!(f, "  eigenvalues  {:.3e}", self.eigen_multiply_adds)?;
        writeln!(
            f,
            "\n{:>4}  {:<24}  {:>13}  {:>12}",
            "step", "operation", "multiply-adds", "memory"
        )?;
        for step in &self.sweep.steps {
            let (op, work) = (step.op, step.multiply_adds as f64);
            writeln!(
                f,
                "{:>4}  {op:<24}  {work:>13.3e}  {:>12}",
                step.position,
                Bytes(step.bytes)
            )?;
        }
        writeln!(f)?;
        self.report.fmt(f)
    }
}

/// What is planned for: groups and the shapes of the seeds.
pub(crate) struct Job<'j, 'a> {
    pub settings: &'j Settings<'a>,
    pub groups: &'j [Vec<ParamId>],
    pub wanted: &'j [ParamId],
    pub group_of: &'j ParamMap<usize>,
    pub sizes: Sizes,
}

impl Job<'_, '_> {
    fn size(&self) -> usize {
        self.settings.graph.tape().device().dtype().size()
    }

    /// Columns and samples of V.
    fn shape(&self) -> (usize, usize) {
        (self.sizes.columns, self.sizes.samples)
    }

    /// The coarsest way of working that fits the budget.
    pub fn plan(&self) -> Result<Plan, Error> {
        let (columns, samples) = self.shape();
        let budget = self.settings.budget();
        let mut least: Option<Plan> = None;
        for slices in Slices::all(samples, columns) {
            let mut memory = self.settings.contraction.memory;
            loop {
                let plan = self.plan_for(slices, self.settings.contraction.memory(memory), budget);
                if plan.peak <= budget {
                    return Ok(plan);
                }
                if least.as_ref().is_none_or(|least| plan.peak < least.peak) {
                    least = Some(plan);
                }
                if memory <= MIN_CONTRACTION_BYTES {
                    break;
                }
                memory = (memory / 8).max(MIN_CONTRACTION_BYTES);
            }
        }
        let Plan { peak: need, tape, gram, .. } = least.expect("there is a sample and a column");
        Err(Error::Memory { need, budget, tape, gram })
    }

    fn plan_for(&self, slices: Slices, contraction: Contraction, budget: usize) -> Plan {
        let (tape, count) = (self.settings.graph.held_bytes(), slices.count());
        let mut report = GramReport::default();
        let whole = count == 1;
        let streams = if whole { self.streams() } else { self.slice_streams(slices) };
        let sweep = self.settings.graph.plan_sweep(&streams, self.wanted, |site| {
            let (row, bytes) = if whole {
                self.whole_row(site, contraction)
            } else {
                self.sliced_row(site, slices, contraction)
            };
            report.rows.push(row);
            bytes
        });
        let (during, after) = self.gram_bytes(slices, &report);
        let eigen_multiply_adds =
            self.groups.len() as f64 * (self.rows() as f64).powi(3) * 2.0 / 3.0;
        // Every slice is swept as often as there are slices; the planned pass carries two.
        let passes = if whole { 1.0 } else { (count * count) as f64 / 2.0 };
        Plan {
            budget,
            peak: tape + (sweep.peak + during).max(after),
            tape,
            gram: during.max(after),
            slices,
            contraction,
            sweep_multiply_adds: sweep.multiply_adds() as f64 * passes,
            sweep,
            report,
            eigen_multiply_adds,
        }
    }

    pub fn rows(&self) -> usize {
        let (columns, samples) = self.shape();
        columns * samples
    }

    /// All rows at once.
    fn streams(&self) -> Vec<StreamShape> {
        let Sizes { columns, samples, chosen, gradients, gradients_chosen, stacked } = self.sizes;
        let v = StreamShape { columns: columns + usize::from(stacked), samples, chosen };
        let of_gradients = |samples| StreamShape { columns: 1, samples, chosen: gradients_chosen };
        [v].into_iter().chain(gradients.filter(|_| !stacked).map(of_gradients)).collect()
    }

    /// The (columns, samples) of the largest slice, and the samples of the largest slice of
    /// gradients.
    fn largest(&self, slices: Slices) -> ((usize, usize), usize) {
        let (columns, samples) = self.shape();
        let gradients = self.sizes.gradients.map_or(0, |n| n.div_ceil(slices.count()));
        ((columns.div_ceil(slices.columns), samples.div_ceil(slices.samples)), gradients)
    }

    /// Two slices and their gradients.
    fn slice_streams(&self, slices: Slices) -> Vec<StreamShape> {
        let ((columns, samples), gradients) = self.largest(slices);
        let v = StreamShape { columns, samples, chosen: true };
        let g = StreamShape { columns: 1, samples: gradients, chosen: true };
        [v, v, g, g].into_iter().filter(|stream| stream.samples > 0).collect()
    }

    /// A parameter's row and the bytes that its contraction takes.
    fn whole_row(&self, site: &SitePlan, contraction: Contraction) -> (GramRow, usize) {
        let ((columns, samples), stacked) = (self.shape(), self.sizes.stacked);
        let block = (columns + usize::from(stacked), samples);
        let cross = self.sizes.gradients.filter(|_| !stacked).map(|n| (1, n));
        let row =
            GramRow::of(self.target(site), site.structure, block, cross, contraction, self.size());
        let apart = self.kept(site, block.0 * block.1 + cross.map_or(0, |(_, n)| n));
        let bytes = row.cost.bytes + apart;
        (row, bytes)
    }

    /// As [`whole_row`](Job::whole_row), over all pairs of slices.
    fn sliced_row(
        &self,
        site: &SitePlan,
        slices: Slices,
        contraction: Contraction,
    ) -> (GramRow, usize) {
        let (size, count) = (self.size(), slices.count() as f64);
        let (block, gradients) = self.largest(slices);
        let cross = (gradients > 0).then_some((1, gradients));
        let mut row =
            GramRow::of(self.target(site), site.structure, block, cross, contraction, size);
        let between =
            |right| cost_between(site.structure, site.entries, block, right, contraction, size);
        let mut pair = between(block);
        for cross in cross.into_iter().chain(cross) {
            pair = pair.and(between(cross));
        }
        row.cost.multiply_adds =
            row.cost.multiply_adds * count + pair.multiply_adds * count * (count - 1.0) / 2.0;
        row.cost.bytes = row.cost.bytes.max(pair.bytes);
        let bytes = row.cost.bytes;
        (row, bytes + self.kept(site, 2 * block.0 * block.1 + 2 * gradients))
    }

    /// What a parameter without structure needs besides its V: its operation's own memory.
    fn kept(&self, site: &SitePlan, rows: usize) -> usize {
        if site.structure.is_some() { 0 } else { site.effort.numbers(rows, rows) * self.size() }
    }

    fn target<'s>(&self, site: &'s SitePlan) -> Target<'s> {
        Target {
            param: site.param,
            name: &site.name,
            entries: site.entries,
            group: self.group_of[site.param],
        }
    }

    /// Bytes of Gram matrices during the sweep, and when their eigenvalues are computed.
    fn gram_bytes(&self, slices: Slices, report: &GramReport) -> (usize, usize) {
        let (rows, gradients, groups) =
            (self.rows(), self.sizes.gradients.unwrap_or(0), self.groups.len());
        let host = rows * (rows + gradients) * self.size();
        if slices == Slices::WHOLE {
            let side = rows + if self.sizes.stacked { gradients } else { 0 };
            let block = side * side * self.size();
            // Those that go pair by pair of samples have a matrix of their own.
            let pairs =
                |order| matches!(order, ContractionOrder::Positions | ContractionOrder::OneSide);
            let more = (0..groups)
                .filter(|&group| {
                    report.rows().iter().any(|row| row.group == group && pairs(row.order))
                })
                .count();
            let temporary = report.rows().iter().map(|row| row.cost.matrices).max().unwrap_or(0);
            // Then each is copied out, and read.
            return ((groups + more + temporary) * block, groups * block.max(host) + 3 * block);
        }
        let ((columns, samples), n) = self.largest(slices);
        let slice = columns * samples;
        let block = (slice + n) * (slice + n) * self.size();
        (groups * (host + 3 * block), groups * host + host)
    }
}
