// What lives here: what all templates share: the shape of a set of files, and the mark at which pipelines are added.
// Invariant: the mark is a whole line of its own, so that a formatter leaves it alone.
// Apart so that templates and the command that edits their files mean the same mark.

/** Path below the project's folder → content. */
export type Files = Readonly<Record<string, string>>;

export const marker = '// mendflow new adds pipelines above this line.';
