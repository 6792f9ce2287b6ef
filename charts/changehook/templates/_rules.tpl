{{- /* what the operator does wherever subscriptions are */ -}}
{{- define "changehook.rules" -}}
# the subscriptions, and nothing of them but the status is written
- apiGroups: [changehook.dev]
  resources: [webhooksubscriptions]
  verbs: [list, watch]
- apiGroups: [changehook.dev]
  resources: [webhooksubscriptions/status]
  verbs: [patch]
# Kubernetes Events on what changes for the better or the worse
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# the Service that a subscription of its namespace sends to, and the certificate authorities that it trusts
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get]
{{- if eq .Values.authorization "ServiceAccount" }}
# whether a subscription's ServiceAccount is there, and may read what the subscription names
- apiGroups: [authorization.k8s.io]
  resources: [localsubjectaccessreviews]
  verbs: [create]
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get]
{{- end }}
{{- end }}

{{- /* the kinds that subscriptions may watch */ -}}
{{- define "changehook.watchRules" -}}
{{- range .Values.watch.rules }}
- apiGroups: {{ toJson .apiGroups }}
  resources: {{ toJson .resources }}
  verbs: [list, watch]
{{- end }}
{{- end }}

{{- define "changehook.secretRules" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}
