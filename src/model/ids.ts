// What lives here: every identity Mendflow builds: run IDs, stage keys, park tokens, queue names.
// Invariant: one builder per identity; IDs can be read aloud and never hold more of an input than a short plain word.
// Apart because an ID that is built in two places is two IDs.

/** 64-bit FNV-1a in hex. For telling names apart, not for secrets: it hides from the eye, not from an attacker. */
export function shortHash(value: string): string {
  let hash = 0xcbf29ce484222325n;
  for (let index = 0; index < value.length; index++)
    hash = BigInt.asUintN(64, (hash ^ BigInt(value.charCodeAt(index))) * 0x100000001b3n);
  return hash.toString(16).padStart(16, '0');
}

/** A plain short word stays; anything else becomes its readable tail and a hash, so that two inputs never share a scope. */
export function slug(value: string): string {
  if (/^[a-z0-9][a-z0-9._-]{0,47}$/i.test(value)) return value;
  const tail = value
    .replace(/[\\/]+$/, '')
    .split(/[\\/]/)
    .pop()!
    .replace(/[^a-z0-9._-]+/gi, '-')
    .replace(/^[-.]+|-+$/g, '')
    .slice(0, 32);
  return `${tail === '' ? 'x' : tail}-${shortHash(value).slice(0, 8)}`;
}

/** The part of a run's identity that its declared inputs make, joined by a sign that no slug holds; empty without a declared scope. */
export const scopeOf = (
  spec: { readonly scope?: readonly string[] },
  input: Readonly<Record<string, unknown>>,
): string => (spec.scope ?? []).map((key) => slug(String(input[key]))).join('+');

/** `daily-report/2026-11-21`, `log-ingest/2026-11-21/web-3`. Also the key of the ledger. */
export const runKey = (pipeline: string, dataDate: string, scope: string): string =>
  scope === '' ? `${pipeline}/${dataDate}` : `${pipeline}/${dataDate}/${scope}`;

/** The run key below a prefix, for clusters shared with others. */
export const workflowId = (prefix: string, key: string): string => (prefix === '' ? key : `${prefix}/${key}`);

/** The run key of a workflow ID. */
export const runOf = (prefix: string, id: string): string =>
  prefix !== '' && id.startsWith(`${prefix}/`) ? id.slice(prefix.length + 1) : id;

/** `ingest`, `ingest[a.log]`: the key of journal, token, lease, ledger and incident. */
export const stageKey = (name: string, key: string): string => (key === '' ? name : `${name}[${key}]`);

/** Names one park of one stage in one execution: a decision made for an earlier park never fits a later one. `of` tells executions apart. */
export const parkToken = (stage: string, no: number, of: string): string =>
  `${shortHash(`${stage} ${no} ${of}`).slice(0, 8)}-${no}`;

export const queues = (prefix: string): { work: string; heal: string } => {
  const work = prefix === '' ? 'mendflow' : `${prefix}-mendflow`;
  return { work, heal: healQueueOf(work) };
};
/** Each upstream has a queue of its own. */
export const upstreamQueueOf = (workQueue: string, upstream: string): string => `${workQueue}-${upstream}`;
/** The recovery of one upstream: `breaker/http:quake-api`. */
export const breakerId = (prefix: string, upstream: string): string => workflowId(prefix, `breaker/${upstream}`);
/** The one workflow that repairs what was lost. */
export const watchId = (prefix: string): string => workflowId(prefix, 'watch');
/** Parking and the ledger have workers of their own, so that a hanging upstream cannot starve healing. */
export const healQueueOf = (workQueue: string): string => `${workQueue}-heal`;
