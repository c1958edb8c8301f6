{{- define "tocsin.name" -}}
{{- if contains "tocsin" .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-tocsin" .Release.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "tocsin.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What selects a program's pods. Takes root and name. */}}
{{- define "tocsin.selector" -}}
app.kubernetes.io/name: tocsin
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .name }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "tocsin.labels" -}}
{{ include "tocsin.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{- define "tocsin.metadata" -}}
name: {{ include "tocsin.name" .root }}{{ with .name }}-{{ . }}{{ end }}
labels:
  {{- include "tocsin.labels" . | nindent 2 }}
{{- end -}}

{{- define "tocsin.probe" -}}
httpGet: {path: {{ .path }}, port: http}
{{- toYaml .timing | nindent 0 }}
{{- end -}}

{{/*
The pod of a program, the same for all but for what it is given:
root, name, program (its values), command, port (none: it ends by itself), restart,
probes, file and text (a ConfigMap's key, and whether it is mounted), pod (its name as member),
keys (ro or rw: what it may do with the customers' keys where privacy is on).
*/}}
{{- define "tocsin.pod" -}}
{{- $privacy := .root.Values.privacy -}}
{{- $keys := ternary .keys "" $privacy.enabled -}}
{{- $settings := dict -}}
{{- range $values := list .root.Values.settings .program.settings (ternary $privacy.settings dict (not (empty $keys))) -}}
{{- range $setting, $value := $values -}}{{- $_ := set $settings $setting $value -}}{{- end -}}
{{- end -}}
{{- $files := dict -}}
{{- range $values := list .root.Values.secretFiles .program.secretFiles (ternary $privacy.secretFiles dict (not (empty $keys))) -}}
{{- range $setting, $from := $values -}}{{- $_ := set $files $setting $from -}}{{- end -}}
{{- end -}}
{{- if $privacy.enabled -}}
{{- if not $privacy.keysClaim -}}
{{- fail "privacy.keysClaim is empty: name the PersistentVolumeClaim with the customers' keys" -}}
{{- end -}}
{{- if not (or $privacy.secretFiles.master_key_file (and $privacy.settings.kms_url $privacy.secretFiles.kms_token_file)) -}}
{{- fail "privacy has no master key: give privacy.secretFiles.master_key_file, or privacy.settings.kms_url and privacy.secretFiles.kms_token_file" -}}
{{- end -}}
{{- $_ := set $settings "privacy" true -}}
{{- if $keys -}}{{- $_ := set $settings "keys_dir" "/var/lib/tocsin-keys" -}}{{- end -}}
{{- end -}}
{{- if not $settings.bootstrap_servers -}}
{{- fail "settings.bootstrap_servers is empty: name your Kafka brokers, host:port, comma separated" -}}
{{- end -}}
metadata:
  labels:
    {{- include "tocsin.labels" . | nindent 4 }}
  {{- with .text }}
  annotations:
    tocsin/config: {{ sha256sum . }}
  {{- end }}
spec:
  serviceAccountName: {{ .root.Values.serviceAccountName }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .restart }}
  restartPolicy: {{ . }}
  {{- end }}
  terminationGracePeriodSeconds: {{ .program.terminationGracePeriodSeconds | default 30 }}
  {{- with .root.Values.image.pullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile: {type: RuntimeDefault}
  {{- if gt (int (.program.replicas | default 1)) 1 }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tocsin.selector" . | nindent 10 }}
  {{- end }}
  containers:
    - name: {{ .name }}
      image: {{ include "tocsin.image" .root }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: {{ toJson .command }}
      env:
        - {name: TOCSIN_DATA_DIR, value: /tmp/tocsin}
        - {name: TOCSIN_WEB_HOST, value: 0.0.0.0}
        {{- if .pod }}
        - name: TOCSIN_GROUP_INSTANCE_ID
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- end }}
        {{- range $setting, $value := $settings }}
        - {name: TOCSIN_{{ upper $setting }}, value: {{ toString $value | quote }}}
        {{- end }}
        {{- range $setting, $_ := $files }}
        - {name: TOCSIN_{{ upper $setting }}, value: /run/secrets/tocsin/{{ $setting }}}
        {{- end }}
      {{- with .port }}
      ports:
        - {name: http, containerPort: {{ . }}}
      startupProbe:
        {{- include "tocsin.probe" (dict "path" "/health/startup" "timing" $.probes.startup) | nindent 8 }}
      readinessProbe:
        {{- include "tocsin.probe" (dict "path" "/health/ready" "timing" $.probes.readiness) | nindent 8 }}
      livenessProbe:
        {{- include "tocsin.probe" (dict "path" "/health/live" "timing" $.probes.liveness) | nindent 8 }}
      {{- end }}
      resources:
        {{- toYaml (.program.resources | default .root.Values.audit.resources) | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if $files }}
        - {name: secrets, mountPath: /run/secrets/tocsin, readOnly: true}
        {{- end }}
        {{- if $keys }}
        - {name: keys, mountPath: /var/lib/tocsin-keys, readOnly: {{ eq $keys "ro" }}}
        {{- end }}
        {{- range .program.secretMounts }}
        - {name: secret-{{ . }}, mountPath: /run/secrets/{{ . }}, readOnly: true}
        {{- end }}
        {{- if .text }}
        - {name: config, mountPath: /etc/tocsin, readOnly: true}
        {{- end }}
  volumes:
    - name: tmp # nothing of worth: state is in Kafka
      emptyDir: {sizeLimit: 256Mi}
    {{- if $files }}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- range $setting, $from := $files }}
          - secret:
              name: {{ $from.secret }}
              items: [{key: {{ $from.key }}, path: {{ $setting }}}]
          {{- end }}
    {{- end }}
    {{- if $keys }}
    - name: keys
      persistentVolumeClaim: {claimName: {{ $privacy.keysClaim }}}
    {{- end }}
    {{- range .program.secretMounts }}
    - name: secret-{{ . }}
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
    {{- if .text }}
    - name: config
      configMap: {name: {{ include "tocsin.name" .root }}-{{ .name }}}
    {{- end }}
  {{- with .root.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* A Deployment, and the ConfigMap of its file if it has one. Takes what a pod takes, and strategy. */}}
{{- define "tocsin.deployment" -}}
{{- $_ := set . "probes" .root.Values.worker.probes -}}
{{- if .text }}
apiVersion: v1
kind: ConfigMap
metadata:
  {{- include "tocsin.metadata" . | nindent 2 }}
data:
  {{ .name }}.yaml: |
    {{- .text | nindent 4 }}
---
{{- end }}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "tocsin.metadata" . | nindent 2 }}
spec:
  replicas: {{ .program.replicas | default 1 }}
  strategy: {type: {{ .strategy }}}
  selector:
    matchLabels:
      {{- include "tocsin.selector" . | nindent 6 }}
  template:
    {{- include "tocsin.pod" . | nindent 4 }}
{{- end -}}
