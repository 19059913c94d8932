// What lives here: what all templates share: the shape of a set of files, and the marks at which pipelines and upstreams are added.
// Invariant: a mark is a whole line of its own, so that a formatter leaves it alone.
// Apart so that templates and the command that edits their files mean the same marks.

/** Path below the project's folder → content. */
export type Files = Readonly<Record<string, string>>;

export const marker = '// mendflow new adds pipelines above this line.';
export const upstreamMarker = '// mendflow new adds upstreams above this line.';
