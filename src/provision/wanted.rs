//! What was asked for, before anything is looked at.

use super::artifact::Given;
use super::groups::Cidr;
use super::topology::Topology;
use super::user_data::Settings;
use super::{Name, TokenFiles};

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub name: Name,
    pub topology: Option<Topology>,
    pub workers: Option<u16>,
    pub apis: Option<u16>,
    pub image: Option<String>,
    pub flavor: Option<String>,
    pub zone: Option<String>,
    /// The name of a key, or a file with a public one.
    pub key: Option<String>,
    pub network: Option<String>,
    pub external_network: Option<String>,
    /// Who may log in: if nobody says, those who might before.
    pub ssh_from: Option<Vec<Cidr>>,
    pub settings: Settings,
    pub artifact: Option<Given>,
    pub tokens: TokenFiles,
    /// Of the volume for the data, in GB: if nobody says, as it is, or none.
    pub volume_size: Option<u64>,
}
