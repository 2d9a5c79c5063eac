//! What this library and the Python peer are compared in.

/// What is compared, and what the comparison is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Job {
    /// The network's name on the command line.
    pub net: &'static str,
    /// The task's.
    pub task: &'static str,
    /// Number of samples.
    pub samples: usize,
    /// Repetitions in a process, ours and the peer's: one where it takes long, many where either
    /// takes milliseconds.
    pub reps: [usize; 2],
    /// The least ratios peer ÷ ours, of time and of peak memory.
    pub marks: [f64; 2],
}

/// All jobs, in the order of the record.
#[rustfmt::skip]
pub const JOBS: [Job; 16] = [
    job("mlp",      "grad",     128, [300, 300], [  1.0,  5.0]),
    job("mlp",      "eigvalsh", 128, [  5,   5], [  1.5,  4.0]),
    job("mlp",      "dd",       128, [  5,   1], [ 80.0, 10.0]),
    job("mlp",      "newton",   128, [  5,   1], [100.0, 10.0]),
    job("net2c2d",  "eigvalsh", 128, [  5,   1], [  4.0,  4.0]),
    job("net2c2d",  "eigh",     128, [  5,   1], [  4.0,  4.0]),
    job("net2c2d",  "dd",       128, [  5,   1], [ 60.0, 15.0]),
    job("net2c2d",  "newton",   128, [  5,   1], [ 60.0, 15.0]),
    job("net3c3d",  "grad",     128, [ 20,  20], [  1.0,  2.0]),
    job("net3c3d",  "eigvalsh", 128, [  5,   1], [  7.0,  5.0]),
    job("net3c3d",  "eigh",     128, [  5,   1], [  8.0,  6.0]),
    job("net3c3d",  "dd",       128, [  5,   1], [ 20.0,  5.0]),
    job("net3c3d",  "newton",   128, [  5,   1], [ 25.0,  8.0]),
    job("resnet32", "eigvalsh",  32, [  5,   1], [  6.0,  2.0]),
    job("resnet32", "dd",        32, [  5,   1], [  6.0,  2.0]),
    job("allcnnc",  "eigvalsh",   2, [  5,   1], [ 15.0,  8.0]),
];

const fn job(
    net: &'static str,
    task: &'static str,
    samples: usize,
    reps: [usize; 2],
    marks: [f64; 2],
) -> Job {
    Job { net, task, samples, reps, marks }
}

impl Job {
    /// The job's arguments on either side, and its name.
    pub fn name(&self) -> String {
        format!("{} {} {}", self.net, self.task, self.samples)
    }
}
