// What lives here: how a runbook is named to a reader whose folder nobody knows, as on a page of the Web UI.
// Invariant: one style; what is in this package is said to be there, what a project declares stays as it was declared.
// Apart from the command line's runbookPath, which knows the folder and gives a path that opens from it.

/** The runbook of a failure. */
export const inPackage = (name: string): string => `${name}.md in ops/runbooks of the package mendflow`;

/** The runbook of a pipeline; those of this package are declared as a file of it would be imported, `mendflow/ops/runbooks/log-ingest.md`. */
export function runbookNamed(declared: string): string {
  const own = /^mendflow\/ops\/runbooks\/([\w-]+)\.md$/.exec(declared)?.[1];
  return own === undefined ? declared : inPackage(own);
}
