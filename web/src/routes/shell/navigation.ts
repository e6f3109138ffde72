/** The pages that exist, in the order people meet them. A page enters this list with its route, never before. */
import type { Component } from 'svelte';
import LayoutDashboard from '@lucide/svelte/icons/layout-dashboard';

export interface NavigationItem {
  route: '/(overview)';
  name: string;
  icon: Component;
}

export const navigation: NavigationItem[] = [{ route: '/(overview)', name: 'Overview', icon: LayoutDashboard }];
