//! `thing pki`: the local certificates.

use anyhow::Result;
use cloud::pki::Pki;
use process::output;

use crate::context::Context;

#[derive(clap::Args)]
pub struct Arguments {
    /// Further host names for the server's certificate
    #[arg(long = "name")]
    names: Vec<String>,
}

/// Makes what is missing and says where it is.
pub fn open(context: &Context, arguments: &Arguments) -> Result<()> {
    let folder = &context.settings.certs;
    Pki::open(folder, &context.settings.thing, &arguments.names)?;
    output::line(format!("local certificates are in {}", folder.display()))
}
