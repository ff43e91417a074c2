import type { Rendered } from './template.ts';

/** A message as a channel gets it. */
export interface Outgoing {
  /** Id of the notification: the same at every attempt. */
  readonly id: string;
  readonly to: string;
  readonly createdAt: Date;
  readonly content: Rendered;
}

/** What became of one attempt. `answer` is for people: codes and the other side's words, no personal data. */
export type SendOutcome =
  | { readonly kind: 'sent'; readonly providerId: string | null; readonly answer: string }
  /** Certainly not delivered; it may be next time. `afterMs`: the other side said when. */
  | {
      readonly kind: 'again';
      readonly errorClass: string;
      readonly answer: string;
      readonly afterMs?: number | null;
      /** True: no message of the channel would get through (bad password, revoked token). */
      readonly channelRefused?: boolean;
    }
  /** Certainly not delivered, and never will be. */
  | { readonly kind: 'failed'; readonly errorClass: string; readonly answer: string }
  /** Handed over, and nobody said whether it was taken. */
  | { readonly kind: 'unknown'; readonly errorClass: string; readonly answer: string };

/** A way out. */
export interface Channel {
  /** True: the receiver tells repetitions by their key, so that an unknown outcome may be tried again. */
  readonly idempotent: boolean;
  /** Why the address cannot be one of this channel's; null when it may be. */
  readonly addressProblem: (to: string) => string | null;
  /** Never rejects and ends by itself within `SEND_LIMIT_MS`, whatever the other side does. */
  readonly send: (message: Outgoing) => Promise<SendOutcome>;
}

/** Longest that an attempt to send may take, ms. */
export const SEND_LIMIT_MS = 30_000;
