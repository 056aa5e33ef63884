use std::fmt;
use std::time::Duration;

use portcullis_tests::{Dice, Fault, Way};

/// Something that is done to a bridge.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// The edge is killed and is away for so long.
    Edge(Duration),
    /// Upstream is.
    Upstream(Duration),
    /// Both are.
    Both(Duration),
    /// The link suffers this at once.
    Link(Fault),
    /// The link suffers this for so long.
    Spell(Fault, Duration),
}

impl Cut {
    /// What comes next.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let way = match dice.between(0, 1) {
            0 => Way::Up,
            _ => Way::Down,
        };
        let away = Duration::from_millis(dice.between(0, 800));
        let spell = Duration::from_millis(dice.between(300, 1500));
        match dice.between(0, 99) {
            0..20 => Self::Edge(away),
            20..40 => Self::Upstream(away),
            40..45 => Self::Both(away),
            45..57 => Self::Link(Fault::Reset),
            57..66 => Self::Link(Fault::HalfClose(way)),
            66..78 => Self::Link(Fault::CutAfter(way, dice.between(1, 40_000))),
            78..85 => Self::Spell(Fault::Swallow(way), spell),
            // Long enough for the other side to find out by itself that nothing comes.
            85..87 => Self::Spell(Fault::Swallow(way), Duration::from_secs(11)),
            87..92 => {
                let delay = Duration::from_millis(dice.between(20, 400));
                Self::Spell(Fault::Delay(way, delay), spell)
            }
            92..97 => {
                let bytes = u32::try_from(dice.between(500, 20_000)).unwrap_or(u32::MAX);
                Self::Spell(Fault::Throttle(way, bytes), spell)
            }
            _ => Self::Spell(Fault::Refuse, spell),
        }
    }

    /// What kind it is of.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Edge(_) => "edge killed",
            Self::Upstream(_) => "upstream killed",
            Self::Both(_) => "both killed",
            Self::Link(fault) | Self::Spell(fault, _) => match fault {
                Fault::Reset => "reset",
                Fault::HalfClose(_) => "half closed",
                Fault::CutAfter(..) => "cut in a packet",
                Fault::Swallow(_) => "black hole",
                Fault::Delay(..) => "delayed",
                Fault::Throttle(..) => "throttled",
                Fault::Refuse => "refused",
            },
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edge(away) | Self::Upstream(away) | Self::Both(away) => {
                write!(f, "{} for {away:?}", self.kind())
            }
            Self::Link(fault) => write!(f, "{fault:?}"),
            Self::Spell(fault, time) => write!(f, "{fault:?} for {time:?}"),
        }
    }
}
