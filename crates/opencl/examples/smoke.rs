//! scratch
use vivit_opencl::*;
use vivit_tensor::*;
use std::time::Instant;
fn main() {
    for d in devices().unwrap() { println!("{d}"); }
    let t = Instant::now();
    let cl = match OpenCl::<f32>::new(Selector::default()) { Ok(cl) => cl, Err(e) => { println!("{e}"); return } };
    println!("open {:?}", t.elapsed());
    let t = Instant::now();
    let n: usize = std::env::args().nth(1).map_or(512, |x| x.parse().unwrap());
    let mut rng = Rng::new(0);
    let (a, b): (Vec<f32>, Vec<f32>) = (rng.normal(n*n), rng.normal(n*n));
    let (da, db) = (cl.upload(a.clone()), cl.upload(b.clone()));
    let mut c = cl.fill(n*n, 0.0);
    cl.gemm(&Gemm::new(n,n,n), &da, &db, &mut c);
    cl.finish().unwrap();
    println!("first {:?}", t.elapsed());
    let cpu = Cpu::<f32>::new();
    let (ca, cb) = (cpu.upload(a), cpu.upload(b));
    let mut cc = cpu.fill(n*n, 0.0);
    for (name, g) in [("nn", Gemm::new(n,n,n)), ("nt", Gemm::nt(n,n,n)), ("tn", Gemm::tn(n,n,n))] {
        cpu.gemm(&g, &ca, &cb, &mut cc);
        cl.gemm(&g, &da, &db, &mut c);
        let got = cl.download(&c).unwrap();
        let err = got.iter().zip(cc.iter()).map(|(a,b)| (a-b).abs()).fold(0.0f32, f32::max);
        let (mut best, mut best_cpu) = (f64::MAX, f64::MAX);
        for _ in 0..5 {
            let t = Instant::now(); cl.gemm(&g, &da, &db, &mut c); cl.finish().unwrap(); best = best.min(t.elapsed().as_secs_f64());
            let t = Instant::now(); cpu.gemm(&g, &ca, &cb, &mut cc); best_cpu = best_cpu.min(t.elapsed().as_secs_f64());
        }
        let gf = (n*n*n) as f64 / 1e9;
        println!("{name} err {err:e}: opencl {:.1} GFMA/s cpu {:.1} GFMA/s", gf/best, gf/best_cpu);
    }
    println!("{:?}", cl.transfers());
}
