//! .
use vivit_tests::*;
use vivit::prelude::*;
fn main(){ let mut r=report::Report::default(); for p in case::list(&case::own_cases()).unwrap(){ let c=case::Case::read(&p).unwrap(); reference::check(&Cpu::<f64>::new(),&c,&mut r); reference::check(&Cpu::<f32>::new(),&c,&mut r);} for row in r.rows{println!("{row}");} }
