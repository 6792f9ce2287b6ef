{{- define "changehook.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "changehook.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "changehook.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "changehook.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "changehook.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (ternary (include "changehook.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "changehook.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{- define "changehook.selector" -}}
app.kubernetes.io/name: {{ include "changehook.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* who installed them, helm writes itself: the same text has to do for plain manifests */ -}}
{{- define "changehook.labels" -}}
{{ include "changehook.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: changehook
{{- end }}

{{- define "changehook.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "changehook.serviceAccount" . }}
    namespace: {{ .Release.Namespace }}
{{- end }}
