//! An animation: fractals along a path, its frames.
//!
//! It has no row of its own. Its id says how many frames there are and how fast they follow one
//! another; a frame's uuid is the id with the frame's number in it. So the frames of an animation are
//! those fractals whose uuids lie behind its id, in their order, and the rows are the whole truth.
//!
//! ```text
//!   rrrrrrrr-rrrr-8FFF-vpsr-rrrrrrrrrNNN     a uuid of version 8
//!                  frames fps          number, 000 in the animation's own id
//! ```

use std::f64::consts::TAU;

use uuid::Uuid;

use crate::fractal::{Constant, Draft, Plane, Refusal};

/// Most frames that an id can tell of.
pub const MOST_FRAMES: u32 = 0xfff;

/// Most frames a second: screens show no more.
pub const MOST_FPS: u32 = 100;

const FRAMES_AT: u32 = 64;
const FPS_AT: u32 = 55;
const VERSION: u128 = 8 << 76;
const VERSION_BITS: u128 = 0xf << 76;
const VARIANT: u128 = 0b10 << 62;
const VARIANT_BITS: u128 = 0b11 << 62;
const FRAMES_BITS: u128 = (MOST_FRAMES as u128) << FRAMES_AT;
const FPS_BITS: u128 = 0x7f << FPS_AT;
const NUMBER_BITS: u128 = 0xfff;

/// The name of an animation, and all that is not in its frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AnimationId(u128);

impl AnimationId {
    /// A new one. Both are within their limits, or are brought there.
    pub fn new(frames: u32, fps: u32) -> AnimationId {
        let frames = u128::from(frames.clamp(1, MOST_FRAMES)) << FRAMES_AT;
        let fps = u128::from(fps.clamp(1, MOST_FPS)) << FPS_AT;
        let told = VERSION_BITS | VARIANT_BITS | FRAMES_BITS | FPS_BITS | NUMBER_BITS;
        let random = Uuid::new_v4().as_u128() & !told;
        AnimationId(random | VERSION | VARIANT | frames | fps)
    }

    /// `None`: no animation is called so.
    pub fn of(uuid: Uuid) -> Option<AnimationId> {
        match AnimationId::of_frame(uuid) {
            Some((id, 0)) => Some(id),
            _ => None,
        }
    }

    /// The animation that a fractal would be a frame of, and the frame's number. A fractal that was
    /// named by somebody else may look so by chance, as one that is no frame of anything.
    pub fn of_frame(uuid: Uuid) -> Option<(AnimationId, u32)> {
        let bits = uuid.as_u128();
        let id = AnimationId(bits & !NUMBER_BITS);
        let number = (bits & NUMBER_BITS) as u32;
        let ours = bits & VERSION_BITS == VERSION && bits & VARIANT_BITS == VARIANT;
        let sound = (1..=MOST_FPS).contains(&id.fps()) && number <= id.frames();
        (ours && sound && id.frames() > 0).then_some((id, number))
    }

    pub fn frames(self) -> u32 {
        ((self.0 & FRAMES_BITS) >> FRAMES_AT) as u32
    }

    /// Frames a second.
    pub fn fps(self) -> u32 {
        ((self.0 & FPS_BITS) >> FPS_AT) as u32
    }

    pub fn uuid(self) -> Uuid {
        Uuid::from_u128(self.0)
    }

    /// The uuid of a frame. They count from 1.
    pub fn frame(self, number: u32) -> Uuid {
        Uuid::from_u128(self.0 | (u128::from(number) & NUMBER_BITS))
    }
}

/// An animation as somebody asks for it: nothing in here has been checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AnimationDraft {
    pub frames: i64,
    /// Frames a second.
    pub fps: i64,
    /// The first frame. Its constant is given.
    pub first: Draft,
    /// Part of the plane that the last frame shows.
    pub to: Plane,
    pub course: Course,
}

/// Which way c goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Course {
    /// Straight there.
    Line(Constant),
    /// Once round this point, so that the frame after the last one would be the first.
    Circle(Constant),
}

impl AnimationDraft {
    /// Number of frames and frames a second, held against the most there may be.
    pub fn checked(&self, most_frames: u32) -> Result<(u32, u32), Refusal> {
        let frames = between("frames", self.frames, 2, most_frames.min(MOST_FRAMES))?;
        let fps = between("fps", self.fps, 1, MOST_FPS)?;
        Ok((frames, fps))
    }

    /// One of `count` frames; the first one is number 0.
    pub fn frame(&self, number: u32, count: u32) -> Draft {
        let way = share(number, count.saturating_sub(1));
        let (from, to) = (self.first.plane, self.to);
        let (xa, xb) = zoomed((from.xa, from.xb), (to.xa, to.xb), way);
        let (ya, yb) = zoomed((from.ya, from.yb), (to.ya, to.yb), way);
        let begin = Constant {
            re: self.first.c_re.unwrap_or(f64::NAN),
            im: self.first.c_im.unwrap_or(f64::NAN),
        };
        let c = match self.course {
            Course::Line(end) => Constant {
                re: between_two(begin.re, end.re, way),
                im: between_two(begin.im, end.im, way),
            },
            Course::Circle(centre) => turned(begin, centre, share(number, count)),
        };
        Draft {
            plane: Plane { xa, xb, ya, yb },
            c_re: Some(c.re),
            c_im: Some(c.im),
            ..self.first
        }
    }
}

fn between(field: &'static str, value: i64, least: u32, most: u32) -> Result<u32, Refusal> {
    match u32::try_from(value) {
        Ok(fits) if (least..=most).contains(&fits) => Ok(fits),
        _ => Err(Refusal {
            field,
            value: value.to_string(),
            limit: format!("must be a whole number from {least} to {most}"),
        }),
    }
}

fn share(part: u32, whole: u32) -> f64 {
    f64::from(part) / f64::from(whole.max(1))
}

/// Exactly `from` at 0 and `to` at 1.
fn between_two(from: f64, to: f64, way: f64) -> f64 {
    match way {
        ..=0.0 => from,
        1.0.. => to,
        _ => from + (to - from) * way,
    }
}

/// The ends of an axis on the way from some to others. What lies between them shrinks or grows by the
/// same factor from each frame to the next, and so seems to come nearer at the same pace.
fn zoomed(from: (f64, f64), to: (f64, f64), way: f64) -> (f64, f64) {
    let factor = ((to.1 - to.0) / (from.1 - from.0)).ln();
    // An axis that is turned round, or has no length, has no factor.
    let way = match factor.is_finite() && factor != 0.0 {
        true if way < 1.0 => (way * factor).exp_m1() / factor.exp_m1(),
        _ => way,
    };
    (
        between_two(from.0, to.0, way),
        between_two(from.1, to.1, way),
    )
}

fn turned(c: Constant, centre: Constant, turn: f64) -> Constant {
    if turn == 0.0 {
        return c;
    }
    let (sin, cos) = (turn * TAU).sin_cos();
    let (re, im) = (c.re - centre.re, c.im - centre.im);
    Constant {
        re: centre.re + re * cos - im * sin,
        im: centre.im + re * sin + im * cos,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fractal::Palette;

    const DRAFT: AnimationDraft = AnimationDraft {
        frames: 5,
        fps: 25,
        first: Draft {
            width: 64,
            height: 48,
            iterations: 99,
            plane: Plane {
                xa: -2.0,
                xb: 2.0,
                ya: 1.5,
                yb: -1.5,
            },
            c_re: Some(-0.8),
            c_im: Some(0.1),
            palette: Palette::Magma,
        },
        to: Plane {
            xa: 0.3,
            xb: 0.3 + 0.25,
            ya: 0.1 + 0.1875,
            yb: 0.1,
        },
        course: Course::Line(Constant { re: 0.1, im: 0.3 }),
    };

    #[test]
    fn an_id_tells_what_it_was_made_of() {
        for (frames, fps) in [(1, 1), (2, 25), (600, 60), (MOST_FRAMES, MOST_FPS)] {
            let id = AnimationId::new(frames, fps);
            assert_eq!((id.frames(), id.fps()), (frames, fps));
            assert_eq!(AnimationId::of(id.uuid()), Some(id));
            assert_eq!(id.uuid().get_version_num(), 8);
            let last = id.frame(frames);
            assert_eq!(AnimationId::of_frame(last), Some((id, frames)));
            assert_eq!(AnimationId::of(last), None);
            // As text, which is what the stores compare.
            assert!(id.uuid().to_string() < id.frame(1).to_string());
            assert!(id.frame(1).to_string() <= last.to_string());
        }
        assert_ne!(AnimationId::new(2, 25), AnimationId::new(2, 25));
    }

    #[test]
    fn other_uuids_name_no_animation() {
        assert_eq!(AnimationId::of_frame(Uuid::nil()), None);
        assert_eq!(AnimationId::of_frame(Uuid::max()), None);
        assert_eq!(AnimationId::of_frame(Uuid::new_v4()), None);
        let id = AnimationId::new(60, 25);
        assert_eq!(AnimationId::of_frame(id.frame(61)), None);
    }

    #[test]
    fn the_path_begins_and_ends_exactly_where_it_was_told_to() {
        let first = DRAFT.frame(0, 5);
        assert_eq!(first, DRAFT.first);
        let last = DRAFT.frame(4, 5);
        assert_eq!(last.plane, DRAFT.to);
        assert_eq!((last.c_re, last.c_im), (Some(0.1), Some(0.3)));
    }

    #[test]
    fn a_zoom_shrinks_by_the_same_factor_from_frame_to_frame() {
        let frames: Vec<Draft> = (0..5).map(|n| DRAFT.frame(n, 5)).collect();
        for pair in frames.windows(2) {
            let wide = |draft: &Draft| draft.plane.xb - draft.plane.xa;
            let high = |draft: &Draft| draft.plane.yb - draft.plane.ya;
            assert!((wide(&pair[1]) / wide(&pair[0]) - 0.5).abs() < 1e-12);
            assert!((high(&pair[1]) / high(&pair[0]) - 0.5).abs() < 1e-12);
        }
        // Without a change of size it moves evenly; turned round, it passes through nothing.
        let draft = AnimationDraft {
            to: Plane {
                xa: -1.0,
                xb: 3.0,
                ya: -1.5,
                yb: 1.5,
            },
            ..DRAFT
        };
        let middle = draft.frame(2, 5).plane;
        assert_eq!((middle.xa, middle.xb), (-1.5, 2.5));
        assert_eq!((middle.ya, middle.yb), (0.0, 0.0));
    }

    #[test]
    fn a_circle_comes_back_to_where_it_began() {
        let centre = Constant { re: 0.0, im: 0.1 };
        let draft = AnimationDraft {
            course: Course::Circle(centre),
            ..DRAFT
        };
        let at = |n| {
            let frame = draft.frame(n, 4);
            (frame.c_re.unwrap(), frame.c_im.unwrap())
        };
        assert_eq!(at(0), (-0.8, 0.1));
        for (n, (re, im)) in [(1, (0.0, -0.7)), (2, (0.8, 0.1)), (3, (0.0, 0.9))] {
            assert!((at(n).0 - re).abs() < 1e-12 && (at(n).1 - im).abs() < 1e-12);
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_its_limit() {
        let refused = |frames, fps| {
            let draft = AnimationDraft {
                frames,
                fps,
                ..DRAFT
            };
            draft.checked(600).unwrap_err().to_string()
        };
        assert_eq!(
            refused(1, 25),
            "frames is 1, but must be a whole number from 2 to 600"
        );
        assert_eq!(
            refused(601, 25),
            "frames is 601, but must be a whole number from 2 to 600"
        );
        assert_eq!(
            refused(60, 0),
            "fps is 0, but must be a whole number from 1 to 100"
        );
        assert_eq!(DRAFT.checked(600).unwrap(), (5, 25));
    }
}
