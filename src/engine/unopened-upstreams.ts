// What lives here: upstreams as declared, that nobody has opened.
// Invariant: an undeclared key is refused as it would be at night; a call reaches nothing.
// Apart because `mendflow check` makes stages without connecting anywhere.
import { CodedError } from '../model/failure.ts';
import type { Upstreams } from '../model/upstream.ts';
import type { OpenUpstreams, UpstreamClient } from '../connectors/upstream.ts';

/** Enough to make stages with; each call fails with `config_invalid`. */
export function unopenedUpstreams(declared: Upstreams = {}): OpenUpstreams {
  const refuse = (text: string): never => {
    throw new CodedError('config_invalid', text);
  };
  const client = (key: string): UpstreamClient => ({
    key,
    declared: declared[key] ?? refuse(`No upstream "${key}" is declared. Add it to \`upstreams\` of the project.`),
    call: () => Promise.resolve().then(() => refuse(`Upstream "${key}" was not opened, so it was not called.`)),
  });
  return {
    at: client,
    spendRetry: () => true,
    answersOthers: () => false,
    isOpen: () => false,
    readSecret: ({ secret }) => refuse(`The secret ${secret} was not read, because no upstream was opened.`),
    close: () => Promise.resolve(),
  };
}
