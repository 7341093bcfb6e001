//! Where a device finds its cloud.

/// Where a device finds its cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The broker's host name.
    pub host: String,
    /// The broker's port.
    pub port: u16,
    /// Name servers, `address` or `address:port`; none to take DHCP's.
    pub dns: Vec<String>,
    /// Time servers, `name` or `name:port`; none for the format's defaults.
    pub ntp: Vec<String>,
}
