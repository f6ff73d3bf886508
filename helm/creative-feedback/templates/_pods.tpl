{{/* What all pods have in common: they satisfy the Pod Security Standard "restricted", and cannot talk to the API. */}}

{{- define "creative-feedback.podSecurity" -}}
automountServiceAccountToken: false
# Without: a Service named creative-feedback--x would put a variable into the environment that looks like a setting.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "creative-feedback.containerSecurity" -}}
securityContext:
  runAsNonRoot: true
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  capabilities:
    drop:
      - ALL
{{- end -}}

{{- define "creative-feedback.tmpVolume" -}}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- end -}}

{{- define "creative-feedback.placement" -}}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A pod that looks at the topics, or makes them: .context, .command (apply or check). */}}
{{- define "creative-feedback.topicsPod" -}}
{{- $kafka := include "creative-feedback.topicsKafka" .context | fromJson -}}
restartPolicy: Never
serviceAccountName: {{ include "creative-feedback.hookServiceAccountName" .context | quote }}
{{ include "creative-feedback.podSecurity" .context }}
{{- include "creative-feedback.placement" .context }}
{{- with .context.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: topics
    image: {{ include "creative-feedback.image" .context | quote }}
    imagePullPolicy: {{ .context.Values.image.pullPolicy }}
    args:
      - topics
      - {{ .command }}
      - --config
      - /etc/creative-feedback/settings/settings.toml
    {{- include "creative-feedback.containerSecurity" .context | nindent 4 }}
    resources:
      {{- toYaml .context.Values.topicsJob.resources | nindent 6 }}
    volumeMounts:
      - name: settings
        mountPath: /etc/creative-feedback/settings
        readOnly: true
      - name: tmp
        mountPath: /tmp
      {{- with include "creative-feedback.access.mounts" $kafka | trim }}
      {{- . | nindent 6 }}
      {{- end }}
volumes:
  - name: settings
    configMap:
      name: {{ include "creative-feedback.fullname" .context }}-topics
  {{- include "creative-feedback.tmpVolume" .context | nindent 2 }}
  {{- with include "creative-feedback.access.volumes" $kafka | trim }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}
