//! Making a failing scene small: pieces are left out as long as it still fails.

use super::Piece;
use super::scene::Scene;

/// The smallest scene found that `fails`.
pub fn shrink(scene: Scene, fails: impl Fn(&Scene) -> bool) -> Scene {
    let mut smallest = scene;
    loop {
        let Some(smaller) = candidates(&smallest).find(|candidate| fails(candidate)) else { return smallest };
        smallest = smaller;
    }
}

/// The scene with one thing left out, larger things first.
fn candidates(scene: &Scene) -> impl Iterator<Item = Scene> {
    let mut all = Vec::new();
    let mut with = |change: &dyn Fn(&mut Scene)| {
        let mut smaller = scene.clone();
        change(&mut smaller);
        all.push(smaller);
    };
    for at in 0..scene.programs.len() {
        for program in shorter(&scene.programs[at]) {
            with(&|scene| scene.programs[at] = program.clone());
        }
    }
    for program in scene.init_code.iter().flat_map(|program| shorter(program)) {
        with(&|scene| scene.init_code = Some(program.clone()));
    }
    for at in 0..scene.storage.len() {
        with(&|scene| {
            scene.storage.remove(at);
        });
    }
    if !scene.transaction.access_list.is_empty() {
        with(&|scene| scene.transaction.access_list.clear());
    }
    if !scene.transaction.data.is_empty() && scene.init_code.is_none() {
        with(&|scene| scene.transaction.data = Default::default());
    }
    if !scene.transaction.value.is_zero() {
        with(&|scene| scene.transaction.value = Default::default());
    }
    all.into_iter()
}

/// The program without a run of pieces, or without a part of an inner body.
fn shorter(pieces: &[Piece]) -> Vec<Vec<Piece>> {
    let mut all = Vec::new();
    let mut run = pieces.len();
    while run > 0 {
        for start in (0..pieces.len()).step_by(run) {
            let end = (start + run).min(pieces.len());
            all.push([&pieces[..start], &pieces[end..]].concat());
        }
        run /= 2;
    }
    for (at, piece) in pieces.iter().enumerate() {
        let bodies = match piece {
            Piece::Loop(times, body) => {
                shorter(body).into_iter().map(|body| Piece::Loop(*times, body)).collect()
            }
            Piece::When(body) => shorter(body).into_iter().map(Piece::When).collect(),
            Piece::Code(_) => Vec::new(),
        };
        for body in bodies {
            let mut program = pieces.to_vec();
            program[at] = body;
            all.push(program);
        }
    }
    all
}
