import type { ChannelName } from './notify.ts';

/** What keeps every message of a channel from getting through. All of it is over once one was delivered. */
const TROUBLES = ['not-set-up', 'refused'] as const;

export function channelAlert(channel: ChannelName, trouble: (typeof TROUBLES)[number]): string {
  return `notifications:${channel}:${trouble}`;
}

export function channelAlerts(channel: ChannelName): string[] {
  return TROUBLES.map((trouble) => channelAlert(channel, trouble));
}
