//! The flags that describe a picture, shared by `create` and `render`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use rand::{Rng, RngExt};

use super::Failure;
use crate::fractal::{Draft, Palette, Plane};

/// What is not given is drawn between the `--min-...` and `--max-...` of its kind.
#[derive(Args, Clone, Debug)]
pub struct SpecArgs {
    /// Pixels in a row [default: random]
    #[arg(long, value_name = "PIXELS", allow_hyphen_values = true)]
    width: Option<i64>,
    /// Rows of pixels [default: random]
    #[arg(long, value_name = "PIXELS", allow_hyphen_values = true)]
    height: Option<i64>,
    /// Most escape steps a pixel is followed for [default: random]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    iterations: Option<i64>,
    /// Real part at the left edge [default: random]
    #[arg(long, value_name = "X", value_parser = finite, allow_hyphen_values = true)]
    xa: Option<f64>,
    /// Real part at the right edge [default: random]
    #[arg(long, value_name = "X", value_parser = finite, allow_hyphen_values = true)]
    xb: Option<f64>,
    /// Imaginary part at the top [default: random]
    #[arg(long, value_name = "Y", value_parser = finite, allow_hyphen_values = true)]
    ya: Option<f64>,
    /// Imaginary part at the bottom [default: random]
    #[arg(long, value_name = "Y", value_parser = finite, allow_hyphen_values = true)]
    yb: Option<f64>,
    /// Real part of the constant c; needs --c-im [default: drawn by the farm]
    #[arg(long, value_name = "RE", value_parser = finite, allow_hyphen_values = true, requires = "c_im")]
    c_re: Option<f64>,
    /// Imaginary part of the constant c; needs --c-re [default: drawn by the farm]
    #[arg(long, value_name = "IM", value_parser = finite, allow_hyphen_values = true, requires = "c_re")]
    c_im: Option<f64>,
    /// Colours: the original's, or smooth ones
    #[arg(long, value_name = "NAME", default_value_t, value_parser = palette())]
    palette: Palette,

    #[command(flatten)]
    ranges: Ranges,
}

macro_rules! ranges {
    ($($min:ident $low:literal $max:ident $high:literal $kind:ty, $parser:expr);* $(;)?) => {
        #[derive(Args, Clone, Debug)]
        #[command(next_help_heading = "Ranges of random values")]
        struct Ranges {
            $(
                #[arg(long, value_name = "N", default_value = $low, value_parser = $parser, allow_hyphen_values = true)]
                $min: $kind,
                #[arg(long, value_name = "N", default_value = $high, value_parser = $parser, allow_hyphen_values = true)]
                $max: $kind,
            )*
        }
    };
}

ranges! {
    min_width "256" max_width "1024" i64, whole;
    min_height "256" max_height "1024" i64, whole;
    min_iterations "128" max_iterations "512" i64, whole;
    min_xa "-1.0" max_xa "-4.0" f64, finite;
    min_xb "1.0" max_xb "4.0" f64, finite;
    min_ya "-0.5" max_ya "-3.0" f64, finite;
    min_yb "0.5" max_yb "3.0" f64, finite;
}

impl SpecArgs {
    /// One picture; what is left open is drawn anew at each call.
    pub fn draw(&self, random: &mut impl Rng) -> Result<Draft, Failure> {
        let ranges = &self.ranges;
        let mut whole = |given: Option<i64>, name, min, max| match given {
            Some(given) => Ok(given),
            None => whole_between(random, name, min, max),
        };
        let width = whole(self.width, "width", ranges.min_width, ranges.max_width)?;
        let height = whole(self.height, "height", ranges.min_height, ranges.max_height)?;
        let (min, max) = (ranges.min_iterations, ranges.max_iterations);
        let iterations = whole(self.iterations, "iterations", min, max)?;
        // As in the original either end may be the larger one.
        let mut real = |given: Option<f64>, min: f64, max: f64| {
            given.unwrap_or_else(|| random.random::<f64>() * (max - min) + min)
        };
        Ok(Draft {
            width,
            height,
            iterations,
            plane: Plane {
                xa: real(self.xa, ranges.min_xa, ranges.max_xa),
                xb: real(self.xb, ranges.min_xb, ranges.max_xb),
                ya: real(self.ya, ranges.min_ya, ranges.max_ya),
                yb: real(self.yb, ranges.min_yb, ranges.max_yb),
            },
            c_re: self.c_re,
            c_im: self.c_im,
            palette: self.palette,
        })
    }
}

/// A whole number from `min` to `max`.
pub fn whole_between(
    random: &mut impl Rng,
    name: &str,
    min: i64,
    max: i64,
) -> Result<i64, Failure> {
    if min > max {
        return Err(Failure::Usage(format!(
            "--min-{name} {min} is more than --max-{name} {max}"
        )));
    }
    Ok(random.random_range(min..=max))
}

fn whole(text: &str) -> Result<i64, String> {
    let value = text.parse::<i64>();
    value.map_err(|_| "must be a whole number such as 640".into())
}

/// Reads the name of a palette.
pub fn palette() -> impl TypedValueParser<Value = Palette> {
    let names = Palette::ALL.map(Palette::as_str);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Palette>())
}

/// Reads a number.
pub fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err("must be a finite number such as -1.25".into()),
    }
}
