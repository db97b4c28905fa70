//! `faafo provision down`.

use clap::Args;

use super::super::output;
use super::{Done, Failure, Target, ask, failure};
use crate::provision::down::{self, Data};
use crate::provision::{Board, Error, Survey};

#[derive(Args)]
#[command(after_help = "\
Deletes the fractals of the farm, too: fetch those that you want to keep before. If they are on a
volume, --keep-data keeps that.

Examples:
  faafo provision down
  faafo provision down --name course --yes
  faafo provision down --name course --keep-data")]
pub struct DownArgs {
    #[command(flatten)]
    target: Target,

    /// Keep the volume with the data, which the next `up` of this name takes again
    #[arg(long)]
    keep_data: bool,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn down(args: DownArgs) -> Done {
    let cloud = args.target.cloud.connect().await?;
    let name = args.target.name();
    let survey = Survey::settled(&cloud, &name)
        .await
        .map_err(Error::from)
        .map_err(failure)?;
    if survey.is_empty() {
        eprintln!(
            "there is nothing of a deployment {name} here; `faafo provision list` shows those there \
             are"
        );
        return Ok(());
    }
    let (data, kept) = match args.keep_data {
        true => (Data::Keep, survey.volumes.clone()),
        false => (Data::Delete, Vec::new()),
    };
    if args.keep_data && kept.is_empty() {
        let message = format!(
            "the deployment {name} has no volume, and so no data that could be kept: nothing was \
             deleted"
        );
        return Err(Failure::Usage(message));
    }
    let survey = data.of(survey);
    let kept: String = kept
        .iter()
        .map(|volume| {
            format!(
                "the volume {} of {} GB is kept ({}): `faafo provision up --name {name}` takes it \
                 again, and `faafo provision down --name {name}` deletes it\n",
                volume.title(),
                volume.size,
                volume.id
            )
        })
        .collect();
    if survey.is_empty() {
        return output::print(&format!("there is nothing else of {name}\n{kept}"));
    }
    let items = down::items(&survey, &name);
    eprintln!("of the deployment {name}, in {}:", cloud.origin());
    for item in &items {
        eprintln!("  {item}");
    }
    if !args.yes {
        match ask("Delete all of this? [yes/no]").await {
            Some(answer) if matches!(answer.as_str(), "y" | "yes") => {}
            Some(_) => {
                return Err(Failure::Usage("nothing was deleted".into()));
            }
            None => {
                let message = "nobody is there to be asked: --yes deletes without asking";
                return Err(Failure::Usage(message.into()));
            }
        }
    }
    down::run(&cloud, &name, survey, data, &Board::default())
        .await
        .map_err(failure)?;
    output::print(&format!(
        "{name} is gone: {} things deleted, nothing left\n{kept}",
        items.len()
    ))
}
