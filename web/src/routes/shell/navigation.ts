/** The pages, in the order people meet them; `key` follows `g` as a shortcut. */
import type { Component } from 'svelte';
import Activity from '@lucide/svelte/icons/activity';
import Box from '@lucide/svelte/icons/box';
import Layers from '@lucide/svelte/icons/layers';
import LayoutDashboard from '@lucide/svelte/icons/layout-dashboard';
import MessagesSquare from '@lucide/svelte/icons/messages-square';
import Settings from '@lucide/svelte/icons/settings';
import SlidersHorizontal from '@lucide/svelte/icons/sliders-horizontal';
import Sparkles from '@lucide/svelte/icons/sparkles';
import { resolve } from '$app/paths';

export interface NavigationItem {
  href: string;
  name: string;
  /** What one does there, for the command palette. */
  about: string;
  key: string;
  icon: Component;
}

export const navigation: NavigationItem[] = [
  {
    href: resolve('/(overview)'),
    name: 'Overview',
    about: 'state of the server, compare',
    key: 'o',
    icon: LayoutDashboard,
  },
  { href: resolve('/playground'), name: 'Playground', about: 'chat and steer', key: 'p', icon: MessagesSquare },
  { href: resolve('/features'), name: 'Features', about: 'search, contrast, label', key: 'f', icon: Sparkles },
  { href: resolve('/monitor'), name: 'Monitor', about: 'what fires, live', key: 'w', icon: Activity },
  { href: resolve('/models'), name: 'Models', about: 'download, load, switch', key: 'm', icon: Box },
  { href: resolve('/saes'), name: 'SAEs', about: 'download, attach, detach', key: 's', icon: Layers },
  {
    href: resolve('/profiles'),
    name: 'Profiles',
    about: 'saved steering, import, export',
    key: 'r',
    icon: SlidersHorizontal,
  },
  { href: resolve('/settings'), name: 'Settings', about: 'theme, limits, versions', key: ',', icon: Settings },
];

export function isHere(href: string, pathname: string): boolean {
  return href === resolve('/(overview)') ? pathname === href : pathname === href || pathname.startsWith(`${href}/`);
}
