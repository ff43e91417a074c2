/** First key of the advisory locks of passes, as SQL; the second is the hash of the queue's name. Whoever holds it keeps passes away. */
export const PASS_LOCK = `hashtext('nightshift.pass')`;
