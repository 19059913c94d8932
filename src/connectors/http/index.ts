// What lives here: the public part of the HTTP connector.
// Invariant: what is not exported here may change without notice.
// Apart as the face of a room of nine files.
export type { HttpAnswer } from './answer.ts';
export {
  type HttpClient,
  type HttpOptions,
  type OpenHttp,
  openHttp,
  type OpenHttpOptions,
  type PagesOptions,
} from './client.ts';
