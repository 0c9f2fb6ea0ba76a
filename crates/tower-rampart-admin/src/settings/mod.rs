//! Rows 7 to 27: the configuration. What it is and how it is read is `tower-rampart-config`'s, how it is replaced while calls flow `tower_rampart`'s; here
//! both are shown and asked.

mod audit;
mod change;
mod limits;
mod presets;
mod recommend;
mod show;
mod templates;
mod validate;
mod whitelist;

use crate::route::Route;

pub(crate) fn routes() -> Vec<Route> {
    let groups = [
        show::routes(),
        change::routes(),
        presets::routes(),
        recommend::routes(),
        templates::routes(),
        validate::routes(),
        whitelist::routes(),
        limits::routes(),
        audit::routes(),
    ];
    groups.into_iter().flatten().collect()
}
