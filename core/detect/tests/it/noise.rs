//! Seeded noise for tests: SplitMix64 (Steele, Lea, Flood 2014), Box-Muller normals, Knuth's Poisson.
use faultline_model::float;

pub struct Generator {
    state: u64,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in (0, 1].
    pub fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    pub fn normal(&mut self) -> f64 {
        let (u, v) = (self.uniform(), self.uniform());
        let angle = core::f64::consts::TAU * v;
        // tan of the half angle gives the cosine without the platform's maths.
        let t = float::tan(angle / 2.0);
        float::sqrt(-2.0 * float::ln(u)) * (1.0 - t * t) / (1.0 + t * t)
    }

    /// Poisson; a rounded normal above 50, where the two cannot be told apart by these tests.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 50.0 {
            return float::max(float::floor(mean + float::sqrt(mean) * self.normal() + 0.5), 0.0) as u64;
        }
        let (limit, mut product, mut count) = (float::exp(-mean), self.uniform(), 0);
        while product > limit {
            product *= self.uniform();
            count += 1;
        }
        count
    }
}
