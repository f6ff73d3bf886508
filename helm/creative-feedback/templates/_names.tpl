{{/* Names and labels. */}}

{{- define "creative-feedback.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
At most 52 characters: Kubernetes appends up to eleven to a StatefulSet's name and makes a label of it. A longer name is
cut, and ends with a digest, so that two long names stay two. A release's name may have dots, a Service's may not.
*/}}
{{- define "creative-feedback.fullname" -}}
{{- $name := .Values.fullnameOverride -}}
{{- if not $name -}}
{{- $name = .Release.Name -}}
{{- $chart := include "creative-feedback.name" . -}}
{{- if not (contains $chart $name) -}}
{{- $name = printf "%s-%s" $name $chart -}}
{{- end -}}
{{- end -}}
{{- $name = $name | replace "." "-" -}}
{{- if gt (len $name) 52 -}}
{{- $name = printf "%s-%s" (trunc 43 $name | trimSuffix "-") (sha256sum $name | trunc 8) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "creative-feedback.headless" -}}
{{- include "creative-feedback.fullname" . }}-headless
{{- end -}}

{{- define "creative-feedback.serviceAccountName" -}}
{{- $own := ternary (include "creative-feedback.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $own .Values.serviceAccount.name -}}
{{- end -}}

{{/*
Hooks run before the chart's own service account exists: they take one that is there. None of them talks to the API.
*/}}
{{- define "creative-feedback.hookServiceAccountName" -}}
{{- ternary "default" (include "creative-feedback.serviceAccountName" .) .Values.serviceAccount.create -}}
{{- end -}}

{{/* What never changes in the life of a release: a StatefulSet's selector cannot be altered. */}}
{{- define "creative-feedback.selectorLabels" -}}
app.kubernetes.io/name: {{ include "creative-feedback.name" .context | quote }}
app.kubernetes.io/instance: {{ .context.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "creative-feedback.applicationId" -}}
{{- ((.Values.settings | default dict).engine | default dict).application_id | default "creative-feedback" -}}
{{- end -}}

{{/*
Of the StatefulSet and its pods alone: the application is part of the selector, so that Kubernetes refuses to change it in
a running release. Half of the pods in another group would process everything a second time.
*/}}
{{- define "creative-feedback.processorLabels" -}}
{{- $id := include "creative-feedback.applicationId" .context -}}
{{ include "creative-feedback.selectorLabels" . }}
creative-feedback/application: {{ ternary $id (sha256sum $id | trunc 32) (regexMatch "^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" $id) | quote }}
{{- end -}}

{{/* Of objects; a pod template has the selector's labels only, so that a new chart version alone restarts nothing. */}}
{{- define "creative-feedback.labels" -}}
{{ include "creative-feedback.selectorLabels" . }}
app.kubernetes.io/part-of: {{ .context.Chart.Name }}
app.kubernetes.io/version: {{ .context.Chart.AppVersion | replace "+" "_" | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name .context.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" | quote }}
{{- end -}}

{{/* .own: what the chart needs, as YAML; it wins over what values add. */}}
{{- define "creative-feedback.podLabels" -}}
{{- mergeOverwrite (deepCopy (.context.Values.podLabels | default dict)) (fromYaml .own) | toYaml -}}
{{- end -}}

{{- define "creative-feedback.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- $image.repository }}{{ with $image.tag }}:{{ . }}{{ end }}@{{ $image.digest -}}
{{- else -}}
{{- $image.repository }}:{{ $image.tag | default .Chart.AppVersion -}}
{{- end -}}
{{- end -}}
