{{- /* what a schema cannot say, told before anything is installed */ -}}
{{- define "changehook.checkValues" -}}
{{- $version := .Capabilities.KubeVersion.Version }}
{{- if not (hasPrefix "v0.0.0" $version) }}{{- /* an API server that does not know its version */ -}}
{{- if semverCompare "<1.31.0-0" $version }}
{{- fail (printf "changehook needs Kubernetes 1.31 or newer; this is %s" $version) }}
{{- end }}
{{- end }}
{{- $lease := .Values.operator.lease }}
{{- if ge (int $lease.renewDeadlineSeconds) (int $lease.durationSeconds) }}
{{- fail (printf "operator.lease.renewDeadlineSeconds is %v and must be less than operator.lease.durationSeconds, which is %v" $lease.renewDeadlineSeconds $lease.durationSeconds) }}
{{- end }}
{{- if ge (int $lease.retryPeriodSeconds) (int $lease.renewDeadlineSeconds) }}
{{- fail (printf "operator.lease.retryPeriodSeconds is %v and must be less than operator.lease.renewDeadlineSeconds, which is %v" $lease.retryPeriodSeconds $lease.renewDeadlineSeconds) }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
{{- fail "serviceAccount.name must name the ServiceAccount to use, because serviceAccount.create is false" }}
{{- end }}
{{- if .Values.watchNamespaces }}
{{- if .Values.secrets.clusterWide }}
{{- fail "secrets.clusterWide cannot be granted by Roles: list namespaces in secrets.namespaces, or leave watchNamespaces empty" }}
{{- end }}
{{- range .Values.secrets.namespaces }}
{{- if not (has . $.Values.watchNamespaces) }}
{{- fail (printf "secrets.namespaces has %q, which is not among watchNamespaces: no subscription is served there" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Looked up with the rights of whoever installs. Rendering without a cluster finds nothing at all, which is no news.
Where only Roles are installed, the installer may lack the right to look, so there only the operator tells. */ -}}
{{- define "changehook.checkCRDs" -}}
{{- if and .Values.crds.check (not .Values.watchNamespaces) (lookup "v1" "Namespace" "" "kube-system") }}
{{- range list "webhooksubscriptions" "deliveryledgers" }}
{{- $name := printf "%s.changehook.dev" . }}
{{- $crd := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name }}
{{- $remedy := "install or upgrade the chart changehook-crds of the same version first (`helm upgrade --install changehook-crds charts/changehook-crds --namespace changehook-system`); if this release brings the definitions itself, set crds.check=false" }}
{{- if not $crd }}
{{- fail (printf "the CustomResourceDefinition %s is not installed: %s" $name $remedy) }}
{{- end }}
{{- $version := dig "metadata" "annotations" "changehook.dev/version" "0.0.0" $crd }}
{{- if semverCompare (printf "<%s" $.Chart.AppVersion) $version }}
{{- fail (printf "the CustomResourceDefinition %s is of version %s, older than the operator's %s: %s" $name $version $.Chart.AppVersion $remedy) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
