// What lives here: all rule tables together, and the lookups made of them once.
// Invariant: what `classify` knows of the world stands in these tables; `classify` itself knows only how to read an error.
// Apart so that a test can put in a changed table and see that somebody notices.
import { httpRules } from './http.ts';
import { clientRules, dnsRules, errnoRules, tlsRules } from './network.ts';
import { sqlRules } from './postgres.ts';
import { nameRules, timeoutRules, wordRules } from './words.ts';

export const ruleTables = {
  sql: sqlRules,
  /** Before errno: a name server that refuses is not an upstream that refuses. */
  dns: dnsRules,
  errno: errnoRules,
  tls: tlsRules,
  client: clientRules,
  http: httpRules,
  name: nameRules,
  timeout: timeoutRules,
  words: wordRules,
};
export type RuleTables = typeof ruleTables;
