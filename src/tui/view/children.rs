//! The children of a process of another program, for its detail: those that keep the lock matter when it is killed.

use super::cut;
use crate::model::Actor;
use crate::source::{Child, Children};
use crate::tui::ui::Ui;
use ratatui::text::Line;

/// At most `most` rows: how many there are, then one each, those that keep the lock first. None where nothing is known.
pub(super) fn lines(actor: &Actor, ui: &Ui, width: usize, most: usize) -> Vec<Line<'static>> {
    let Some(children) = ui.children.as_ref().filter(|c| c.of == actor.pid) else { return Vec::new() };
    let mut list: Vec<&Child> = children.list.iter().collect();
    list.sort_by_key(|child| child.keeps != Some(true));
    let room = most.saturating_sub(1);
    let rows = if list.len() <= room { list.len() } else { room.saturating_sub(1) };
    let style = |keeps: bool| if keeps { ui.theme.strong } else { ui.theme.text };
    let mut told = vec![(heading(children, actor), false)];
    told.extend(list.iter().take(rows).map(|child| (row(child, actor), child.keeps == Some(true))));
    if rows < list.len() {
        let least = if children.more { "at least " } else { "" };
        told.push((format!("  and {least}{} more", list.len() - rows), false));
    }
    let line = |(text, keeps): (String, bool)| {
        Line::styled(cut(&format!(" {}", ui.glyphs.plain(&text)), width, &ui.glyphs), style(keeps))
    };
    told.into_iter().take(most).map(line).collect()
}

fn heading(children: &Children, actor: &Actor) -> String {
    let least = if children.more { "more than " } else { "" };
    let many = match children.list.len() {
        0 => return "no child processes".into(),
        1 => "1 child process".into(),
        n => format!("{least}{n} child processes"),
    };
    let keepers = children.list.iter().filter(|c| c.keeps == Some(true)).count();
    let unknown = children.list.iter().any(|c| c.keeps.is_none());
    let of = children.list.len();
    match (actor.state.is_holding(), keepers, unknown) {
        (false, ..) => many,
        (true, 0, true) => format!("{many}; which of them keep the lock cannot be seen"),
        (true, 0, false) => format!("{many}; none of them keeps the lock"),
        (true, _, _) if keepers == of && of == 1 => format!("{many}, which keeps the lock when pid {} ends", actor.pid),
        (true, 1, _) => format!("{many}; 1 of them keeps the lock when pid {} ends", actor.pid),
        (true, n, _) => format!("{many}; {n} of them keep the lock when pid {} ends", actor.pid),
    }
}

fn row(child: &Child, actor: &Actor) -> String {
    let of = if child.parent == actor.pid { String::new() } else { format!(" of {}", child.parent) };
    let keeps = if child.keeps == Some(true) { " \u{b7} keeps the lock" } else { "" };
    format!("  pid {}{of}{keeps} \u{b7} {}", child.pid, child.command)
}
